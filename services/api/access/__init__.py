"""Who gets in: keys and their file, page sessions, throttles, and the guard that every request passes.

Layers, top to bottom: ``guard`` (one request) -> ``key_ring`` (the keys as they are now), ``sessions`` (the page's
cookies) -> ``keys_file`` (how they are kept), ``origins``, ``throttles`` -> ``credentials``. Must not know routes.
"""
