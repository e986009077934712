"""How much a worker does at once, from its settings and the machine that it runs on."""

from __future__ import annotations

import os
from typing import Final

from model.runtime import Provider
from services.jobs.settings import WorkerSettings
from services.worker.batching import BatchPolicy

_MOST_DECODERS: Final = 8


def decoders(settings: WorkerSettings) -> int:
    """Return how many decoding children run."""
    return settings.decoders or min(os.cpu_count() or 1, _MOST_DECODERS)


def threads(settings: WorkerSettings) -> int:
    """Return how many threads an inference has."""
    return settings.threads or os.cpu_count() or 1


def batch_policy(provider: Provider, settings: WorkerSettings) -> BatchPolicy:
    """Return when a batch starts, on this provider."""
    return BatchPolicy.for_provider(provider, max_films=settings.max_batch)


def films_in_flight(provider: Provider, settings: WorkerSettings) -> int:
    """Return how many films a worker holds: decoding runs two batches ahead of inference.

    More would only keep films from other workers.
    """
    return decoders(settings) + 2 * batch_policy(provider, settings).max_films
