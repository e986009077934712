"""Is this a frontal adult chest radiograph that may be judged? If not, the film ends ``not_assessed(reason)``.

Three doors of the walk: ``gate_header`` before any pixel is decoded, ``gate_image`` on the decoded film, and
``EmbeddingGate`` on what the network's graph says of the tensor. Whatever is in doubt stays out (DESIGN §2). Knows
headers, gray images and embeddings; neither files nor networks.
"""

from model.gate.embedding import EmbeddingGate
from model.gate.header import GateSpec, gate_header
from model.gate.pixels import gate_image

__all__ = ["EmbeddingGate", "GateSpec", "gate_header", "gate_image"]
