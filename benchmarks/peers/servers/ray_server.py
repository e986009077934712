"""Ray Serve: replicas that each take one film at a time, or one replica that batches; its throughput flags are set."""

from __future__ import annotations

import os
import signal

import numpy as np
import ray
from film_network import MAX_BATCH, MAX_WAIT_MS, PORT, WORKERS, FilmNetwork
from ray import serve
from starlette.requests import Request


@serve.deployment(num_replicas=WORKERS, ray_actor_options={"num_cpus": 1}, max_ongoing_requests=64)
class Single:
    def __init__(self) -> None:
        self.network = FilmNetwork()

    async def __call__(self, request: Request) -> dict[str, float]:
        return {"probability": self.network.probability_of(await request.body())}


@serve.deployment(num_replicas=WORKERS, ray_actor_options={"num_cpus": 1}, max_ongoing_requests=64)
class Batching:
    def __init__(self) -> None:
        self.network = FilmNetwork()

    @serve.batch(max_batch_size=MAX_BATCH, batch_wait_timeout_s=MAX_WAIT_MS / 1000)
    async def score(self, payloads: list[bytes]) -> list[float]:
        return self.network.probabilities(np.stack([self.network.tensor_of(payload) for payload in payloads]))

    async def __call__(self, request: Request) -> dict[str, float]:
        return {"probability": await self.score(await request.body())}


if __name__ == "__main__":
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    ray.init(num_cpus=len(os.sched_getaffinity(0)), include_dashboard=False, log_to_driver=False)
    serve.start(http_options={"host": "127.0.0.1", "port": PORT})
    deployment = Batching if MAX_BATCH > 1 else Single
    serve.run(deployment.bind(), route_prefix="/predict")
    signal.sigwait({signal.SIGTERM})
    serve.shutdown()
    ray.shutdown()
