"""Which bundle scores a film: the one that served when its assessment began, to the end of that film.

Owns how one bundle follows another. Each has its own batcher, so that no batch can mix two; the old one scores what was
begun for it and goes when its last film is done. Must not know Redis, nor who decides that a bundle changes.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from services.jobs.records import ModelReference
from services.worker.batching import Batcher
from services.worker.loading import LoadedBundle
from services.worker.serving import Serving

logger = logging.getLogger(__name__)


@dataclass(eq=False, kw_only=True)
class ServedBundle:
    """A loaded bundle with its own batcher; ``films`` counts those that are assessed with it now."""

    loaded: LoadedBundle
    batcher: Batcher
    films: int = 0
    batching: asyncio.Task[None] | None = None

    @property
    def serving(self) -> Serving:
        """How its films are decoded and decided."""
        return self.loaded.serving


class ServedBundles:
    """The bundle that serves, and those before it that still have films.

    ``run`` must be running for films to be scored. Parameter ``batcher_for`` makes a batcher for a loaded bundle.
    """

    def __init__(self, first: LoadedBundle, *, batcher_for: Callable[[LoadedBundle], Batcher]) -> None:
        self._batcher_for = batcher_for
        self._current = ServedBundle(loaded=first, batcher=batcher_for(first))
        self._group: asyncio.TaskGroup | None = None

    @property
    def serving(self) -> LoadedBundle:
        """The bundle that films which begin now are scored with."""
        return self._current.loaded

    @property
    def model(self) -> ModelReference:
        """What records and metrics call it."""
        return self._current.serving.model

    @contextmanager
    def lease(self) -> Iterator[ServedBundle]:
        """Hold the bundle that serves now, for one film: it stays loaded until the block ends."""
        bundle = self._current
        bundle.films += 1
        try:
            yield bundle
        finally:
            bundle.films -= 1
            self._retire_if_unused(bundle)

    def switch_to(self, loaded: LoadedBundle) -> None:
        """Serve another bundle from now on. Films under way stay with theirs."""
        old, self._current = self._current, ServedBundle(loaded=loaded, batcher=self._batcher_for(loaded))
        self._start(self._current)
        self._retire_if_unused(old)

    async def run(self) -> None:
        """Score films until cancelled; what breaks a batcher is raised."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            self._start(self._current)
            await asyncio.Event().wait()

    def _start(self, bundle: ServedBundle) -> None:
        if self._group is not None:
            bundle.batching = self._group.create_task(bundle.batcher.run())

    def _retire_if_unused(self, bundle: ServedBundle) -> None:
        if bundle is self._current or bundle.films:
            return
        if bundle.batching is not None:
            bundle.batching.cancel()
        fields = {"action": "bundle_retired", "digest": bundle.loaded.digest}
        logger.info("bundle retired", extra=fields)
