"""Opens image files; no other package does. ``inspect_header`` reads no pixels, ``decode`` reads all of them.

First rooms of the walk: the gateway calls ``inspect.inspect_header`` before it accepts a film, a worker's decoding
child calls that and ``decode.decode``. Knows nothing of bundles, queues or HTTP. Imports nothing here, so that whoever
needs a ``Header`` alone does not load the codecs.
"""
