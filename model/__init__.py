"""The contract of the product: bytes of a film in, decision out.

Knows neither the services nor the training that call it, and no torch. Its rooms in the order of a film's walk:
``decoding`` (header, pixels), ``gate``, ``preprocessing``, ``runtime`` (score), ``decision``; ``bundle`` is the
published artefact that parameterises them.
"""

import os

# onnxruntime for Linux reports its use to its maker since 1.28, from its import on, and keeps a device id in the home
# directory. What a hospital's service computes, and when, is nobody else's business. Read when onnxruntime is first
# imported, so that it must be set here, before any module of ours can do that.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
