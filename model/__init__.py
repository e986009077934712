"""The contract of the product: bytes of a film in, decision out.

Knows neither the services nor the training that call it, and no torch. Its rooms in the order of a film's walk:
``decoding`` (header, pixels), ``gate``, ``preprocessing``, ``runtime`` (score), ``decision``; ``bundle`` is the
published artefact that parameterises them.
"""
