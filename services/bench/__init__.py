"""The load generator behind ``cxr-triage bench``: sends films over HTTP, measures when they are decided."""
