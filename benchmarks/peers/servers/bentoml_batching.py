"""BentoML, two services: workers that decode, and one that scores in batches of its own choice."""

from __future__ import annotations

from pathlib import Path

import bentoml
import numpy as np
from film_network import MAX_BATCH, WORKERS, FilmNetwork

_QUIET = {"access": {"enabled": False}}


@bentoml.service(workers=1, traffic={"timeout": 120}, logging=_QUIET)
class Inference:
    def __init__(self) -> None:
        self.network = FilmNetwork()

    @bentoml.api(batchable=True, max_batch_size=MAX_BATCH, max_latency_ms=120_000)
    def score(self, tensors: np.ndarray) -> list[float]:
        return self.network.probabilities(tensors)


@bentoml.service(workers=WORKERS, threads=MAX_BATCH, traffic={"timeout": 120}, logging=_QUIET)
class Film:
    inference = bentoml.depends(Inference)

    def __init__(self) -> None:
        self.network = FilmNetwork()

    @bentoml.api
    def predict(self, file: Path) -> dict[str, float]:
        tensor = self.network.tensor_of(file.read_bytes())
        return {"probability": self.inference.score(tensor[np.newaxis])[0]}
