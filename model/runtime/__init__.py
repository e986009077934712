"""Runs a bundle's network with onnxruntime. Imported by the worker and by training, never by the gateway.

From the bottom: ``provider`` and ``precision`` say where and in what a network can be computed, ``options`` what
onnxruntime is told of that, ``session`` opens a network and proves that it runs so, ``scorer`` turns its answers into
scores. Must not know queues, files or films' origins.
"""

from model.runtime.options import Engines
from model.runtime.precision import Precision, threshold_margin
from model.runtime.provider import Provider, provider_order
from model.runtime.scorer import Scorer

__all__ = ["Engines", "Precision", "Provider", "Scorer", "provider_order", "threshold_margin"]
