"""How much a worker does at once, from its settings and the machine that it runs on."""

from __future__ import annotations

from typing import Final

from model.runtime import Provider
from services.jobs.settings import WorkerSettings
from services.worker.batching import BatchPolicy
from services.worker.cores import cores

_MOST_DECODERS: Final = 32
# A CPU's gain from company: none to 11 % in fp32 by machine, 9 to 18 % in int8 with 4 films, and no more with 32
# (PERFORMANCE.md §A, docs/decisions/0020-batches.md). A batch that is longer than need be keeps its first film waiting
# for its last.
_CPU_BATCH: Final = 4
_GPU_BATCH: Final = 32


def decoders(settings: WorkerSettings) -> int:
    """Return how many decoding children run."""
    return settings.decoders or min(cores(), _MOST_DECODERS)


def threads(settings: WorkerSettings) -> int:
    """Return how many threads an inference has."""
    return settings.threads or cores()


def batch_policy(provider: Provider, settings: WorkerSettings) -> BatchPolicy:
    """Return when a batch starts, on this provider."""
    if provider.is_gpu:
        patience_seconds = settings.max_batch_wait_ms / 1000
        return BatchPolicy(max_films=settings.max_batch or _GPU_BATCH, patience_seconds=patience_seconds)
    return BatchPolicy(max_films=settings.max_batch or _CPU_BATCH, patience_seconds=0.0)


def films_in_flight(provider: Provider, settings: WorkerSettings) -> int:
    """Return how many films a worker holds: decoding runs two batches ahead of inference.

    More would only keep films from other workers.
    """
    return decoders(settings) + 2 * batch_policy(provider, settings).max_films
