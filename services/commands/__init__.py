"""The operator's commands of ``cxr-triage``: keys, dead films, bundles, audit. ``cli`` puts them together."""
