"""The gateway: HTTP in front of the queue. Takes films in, answers with records; never looks at pixels.

Layers, top to bottom: ``__main__`` (process) -> ``app`` (wiring) -> ``routes`` -> ``uploads`` (a film's way in, up to
``services.jobs.ingest``), ``completions`` (waiting), ``access`` (who gets in) -> ``problems``, ``metrics``,
``schemas`` -> ``scopes`` (who may what) -> ``errors``.
"""
