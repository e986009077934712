"""BentoML, one service whose workers each decode and score one film at a time."""

from __future__ import annotations

from pathlib import Path

import bentoml
from film_network import WORKERS, FilmNetwork


@bentoml.service(workers=WORKERS, traffic={"timeout": 120}, logging={"access": {"enabled": False}})
class Film:
    def __init__(self) -> None:
        self.network = FilmNetwork()

    @bentoml.api
    def predict(self, file: Path) -> dict[str, float]:
        return {"probability": self.network.probability_of(file.read_bytes())}
