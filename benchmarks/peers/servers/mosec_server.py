"""Mosec, in the two forms of its examples: one stage that does all, or decoding before a batching stage."""

from __future__ import annotations

from typing import Any

import numpy as np
from film_network import MAX_BATCH, MAX_WAIT_MS, WORKERS, FilmNetwork
from mosec import Server, Worker


class Whole(Worker):
    def __init__(self) -> None:
        self.network = FilmNetwork()

    def deserialize(self, data: bytes) -> bytes:
        return data

    def forward(self, data: bytes) -> dict[str, float]:
        return {"probability": self.network.probability_of(data)}


class Decoding(Whole):
    def forward(self, data: bytes) -> Any:
        return self.network.tensor_of(data)


class Inference(Worker):
    def __init__(self) -> None:
        self.network = FilmNetwork()

    def forward(self, data: list[Any]) -> list[dict[str, float]]:
        return [{"probability": probability} for probability in self.network.probabilities(np.stack(data))]


if __name__ == "__main__":
    server = Server()
    if MAX_BATCH > 1:
        server.append_worker(Decoding, num=WORKERS, route="/predict")
        server.append_worker(Inference, num=1, max_batch_size=MAX_BATCH, max_wait_time=MAX_WAIT_MS, route="/predict")
    else:
        server.append_worker(Whole, num=WORKERS, route="/predict")
    server.run()
