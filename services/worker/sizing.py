"""How much a worker does at once, from its settings and the machine that it runs on."""

from __future__ import annotations

from typing import Final

from model.runtime import Provider
from services.jobs.settings import WorkerSettings
from services.worker.batching import BatchPolicy
from services.worker.cores import cores as usable_cores

_MOST_DECODERS: Final = 32
# A CPU's gain from company: none to 11 % in fp32 by machine, 9 to 18 % in int8 with 4 films, and no more with 32
# (PERFORMANCE.md §A, docs/decisions/0020-batches.md). A batch that is longer than need be keeps its first film waiting
# for its last.
_CPU_BATCH: Final = 4
# Where several inferences run at once, four films for the first of them leave the others idle: 8 films at once fill
# two batches of four, and nobody decodes the next ones.
_SHARED_CPU_BATCH: Final = 2
_GPU_BATCH: Final = 32


def cores(settings: WorkerSettings) -> int:
    """Return how many cores this worker may count on."""
    return settings.cores or usable_cores()


def decoders(settings: WorkerSettings) -> int:
    """Return how many decoding children run."""
    return settings.decoders or min(cores(settings), _MOST_DECODERS)


def threads(provider: Provider, settings: WorkerSettings) -> int:
    """Return how many threads an inference has.

    One on a CPU: two that share an operator wait for each other at its end, and the one that a decoder has displaced is
    late each time (docs/decisions/0020-batches.md). One on a GPU, which leaves nothing to share: ``auto`` has as many
    wherever it ends. OpenVINO would bind two inferences of one thread to one core (PERFORMANCE.md §A finding 5).
    """
    return settings.threads or (cores(settings) if provider is Provider.OPENVINO else 1)


def inferences(provider: Provider, settings: WorkerSettings) -> int:
    """Return how many batches are scored at once."""
    return max(1, cores(settings) // threads(provider, settings)) if provider is Provider.CPU else 1


def all_threads(provider: Provider, settings: WorkerSettings) -> int:
    """Return how many threads inference has in all."""
    return threads(provider, settings) * inferences(provider, settings)


def batch_policy(provider: Provider, settings: WorkerSettings) -> BatchPolicy:
    """Return when a batch starts, on this provider."""
    if provider.is_gpu:
        patience_seconds = settings.max_batch_wait_ms / 1000
        return BatchPolicy(max_films=settings.max_batch or _GPU_BATCH, patience_seconds=patience_seconds)
    at_once = inferences(provider, settings)
    default = _CPU_BATCH if at_once == 1 else _SHARED_CPU_BATCH
    return BatchPolicy(max_films=settings.max_batch or default, patience_seconds=0.0, at_once=at_once)


def films_in_flight(provider: Provider, settings: WorkerSettings) -> int:
    """Return how many films a worker holds: those in decoding, in inference, and the next batch.

    More would only keep films from other workers.
    """
    policy = batch_policy(provider, settings)
    return decoders(settings) + (policy.at_once + 1) * policy.max_films
