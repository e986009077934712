"""``cxr-triage submit``: films on disk, sent to a service over HTTP. ``client`` talks, ``report`` prints."""
