"""Every door of the walk in front of the bundle that ships, with its own statistics behind them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import cv2
import imagecodecs
import numpy as np
import onnx
from numpy.typing import NDArray
from onnx.utils import Extractor

from model.bundle import Bundle
from model.decoding.decode import decode
from model.decoding.inspect import inspect_header
from model.errors import ImageError, Reason
from model.gate import EmbeddingGate, GateSpec, gate_header, gate_image
from model.image import Tensor
from model.preprocessing import preprocess
from tests.support.films import display
from training.graphs.graph import open_graph

NOT_CHEST = ("AbdomenCT", "BreastMRI", "ChestCT", "Hand", "HeadCT")


class ShippedGate:
    """Header gate, pixel gate and embedding gate of one bundle, in the order of the walk.

    Of the network only what the embedding takes is computed, a hundredth of it: the gate never asks for more.
    """

    def __init__(self, bundle: Bundle) -> None:
        assert bundle.gate is not None
        assert bundle.manifest.gate is not None
        self.bundle, self._spec = bundle, bundle.manifest.preprocessing
        graph, self._input = onnx.load_model_from_string(bundle.network), bundle.manifest.input_name
        alone = Extractor(graph).extract_model([self._input], [bundle.manifest.gate.output_name])
        self._session = open_graph(alone.SerializeToString(), threads=1)
        self._embedding = EmbeddingGate(
            mean=bundle.gate.mean, covariance=bundle.gate.covariance, limit=bundle.manifest.gate.limit
        )

    def refusal(self, payload: bytes) -> Reason | None:
        """Return why the film ends not assessed, or ``None`` where it is scored."""
        try:
            header = inspect_header(payload)
            gate_header(header, GateSpec())
            image = decode(payload, header)
            gate_image(image, header)
            self._embedding.require_near(self.embedding(preprocess(image, self._spec)))
        except ImageError as error:
            return error.reason
        return None

    def embedding(self, tensor: Tensor) -> NDArray[np.float32]:
        """Return the embedding ``(d,)`` of one film ``(1, s, s)``, as the whole graph answers it."""
        (embeddings,) = self._session.run(None, {self._input: tensor[np.newaxis]})
        return np.asarray(embeddings[0], dtype=np.float32)

    def share_refused(self, payloads: Iterable[bytes]) -> float:
        """Return the share of films that end not assessed."""
        return float(np.mean([self.refusal(payload) is not None for payload in payloads]))


def shown(path: Path) -> np.ndarray:
    """Return a film as people see it, ``(rows, columns)`` uint8."""
    payload = path.read_bytes()
    image = decode(payload, inspect_header(payload))
    return np.rint(display(image) * 255).astype(np.uint8)


def enlarged(path: Path, *, through: int | None = None) -> bytes:
    """Return a film at 512 px as PNG, first reduced to ``through`` pixels where that is given."""
    pixels = shown(path)
    if through is not None:
        pixels = cv2.resize(pixels, (through, through), interpolation=cv2.INTER_AREA)
    return as_png(cv2.resize(pixels, (512, 512), interpolation=cv2.INTER_CUBIC))


def as_png(pixels: np.ndarray) -> bytes:
    """Return a film as PNG, hardly compressed: hundreds are written to be read once."""
    return bytes(imagecodecs.png_encode(pixels, level=1))
