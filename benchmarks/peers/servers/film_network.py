"""What every peer runs, by the settings in its environment: the network, and a film's bytes to the network's input.

Lies beside the peers' programs and is imported by them alone; must not import anything of ours.
"""

from __future__ import annotations

import io
import os
from typing import Any

import numpy as np
import onnxruntime as ort

WORKERS = int(os.environ.get("FILM_WORKERS", "1"))
THREADS = int(os.environ.get("FILM_THREADS", "0"))
MAX_BATCH = int(os.environ.get("FILM_MAX_BATCH", "1"))
MAX_WAIT_MS = int(os.environ.get("FILM_MAX_WAIT_MS", "0"))
PORT = int(os.environ.get("FILM_PORT", "8000"))
_DECODER = os.environ.get("FILM_DECODER", "pillow")


class FilmNetwork:
    """A session with the threads that the environment names; 0 is onnxruntime's own choice, spinning included."""

    def __init__(self) -> None:
        options = ort.SessionOptions()
        if THREADS:
            options.intra_op_num_threads = THREADS
            # Threads that spin between two films take the cores from decoding, on every server alike.
            options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        network = os.environ["FILM_NETWORK"]
        self._session = ort.InferenceSession(network, options, providers=["CPUExecutionProvider"])
        self._input = self._session.get_inputs()[0]
        self.side: int = self._input.shape[2]

    def tensor_of(self, payload: bytes) -> Any:
        """Return ``(1, s, s)`` uint8 of a PNG."""
        if _DECODER == "opencv":
            import cv2

            cv2.setNumThreads(1)
            pixels = cv2.imdecode(np.frombuffer(payload, np.uint8), cv2.IMREAD_GRAYSCALE)
            return cv2.resize(pixels, (self.side, self.side), interpolation=cv2.INTER_AREA)[np.newaxis]
        from PIL import Image

        picture = Image.open(io.BytesIO(payload)).convert("L")
        return np.asarray(picture.resize((self.side, self.side), Image.Resampling.BILINEAR))[np.newaxis]

    def probabilities(self, tensors: Any) -> list[float]:
        """Return one probability for each of ``(n, 1, s, s)`` uint8."""
        (answers,) = self._session.run(["probability"], {self._input.name: tensors})
        return [float(answer) for answer in answers]

    def probability_of(self, payload: bytes) -> float:
        """Return the probability of one film."""
        return self.probabilities(self.tensor_of(payload)[np.newaxis])[0]
