"""The embedded stack behind ``cxr-triage up``: a private Redis, the gateway and workers, supervised as child processes.

Knows how to start, watch and stop them, and nothing of films. ``redis_server`` finds and configures Redis, ``child``
keeps one process alive, ``plan`` checks everything first, ``stack`` runs it.
"""
