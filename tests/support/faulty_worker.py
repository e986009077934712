"""A worker of the product's own parts in which something stands before every scorer: what a test's own main runs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

from services.jobs.logs import configure_logging
from services.jobs.settings import WorkerSettings
from services.worker.application import serve
from services.worker.batching import BatchScorer
from services.worker.configuration import Configuration
from services.worker.loading import BundleLoader, LoadedBundle

Wrap = Callable[[BatchScorer], BatchScorer]


class WrappingLoader(BundleLoader):
    """Loads bundles as every worker does, and puts ``wrap`` around their scorers."""

    def __init__(self, settings: WorkerSettings, wrap: Wrap) -> None:
        super().__init__(settings)
        self._wrap = wrap

    def load_configured(self) -> LoadedBundle:
        return self._wrapped(super().load_configured())

    def load_activated(self, digest: str) -> LoadedBundle:
        return self._wrapped(super().load_activated(digest))

    def _wrapped(self, loaded: LoadedBundle) -> LoadedBundle:
        return replace(loaded, scorer=self._wrap(loaded.scorer))


def run_worker(wrap: Wrap) -> int:
    """Be a worker until told to stop."""
    configuration = Configuration.load()
    configure_logging(configuration.worker.log_format, "worker")
    loader = WrappingLoader(configuration.worker, wrap)
    asyncio.run(serve(loader, configuration))
    return 0
