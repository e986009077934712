"""Every door of the walk in front of the bundle that ships, with its own statistics behind them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np

from model.bundle import Bundle
from model.decoding.decode import decode
from model.decoding.inspect import inspect_header
from model.errors import ImageError, Reason
from model.gate import EmbeddingGate, GateSpec, gate_header, gate_image
from model.preprocessing import preprocess
from model.runtime import Provider, Scorer
from tests.support.films import display, png_film

NOT_CHEST = ("AbdomenCT", "BreastMRI", "ChestCT", "Hand", "HeadCT")


class ShippedGate:
    """Header gate, pixel gate and embedding gate of one bundle, in the order of the walk."""

    def __init__(self, bundle: Bundle) -> None:
        assert bundle.gate is not None
        assert bundle.manifest.gate is not None
        self._spec = bundle.manifest.preprocessing
        self._scorer = Scorer(bundle, provider=Provider.CPU, threads=1)
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
            score = self._scorer.score(preprocess(image, self._spec)[np.newaxis])[0]
            assert score.embedding is not None
            self._embedding.require_near(score.embedding)
        except ImageError as error:
            return error.reason
        return None

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
    return png_film(cv2.resize(pixels, (512, 512), interpolation=cv2.INTER_CUBIC))
