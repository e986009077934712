"""The worker: takes jobs, decodes in child processes, scores in batches, decides, finishes (DESIGN §4).

Above ``services.jobs`` and ``model``; knows nothing of HTTP uploads, callers or the gateway.
"""
