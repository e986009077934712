"""A worker of the product's own parts whose scorer does as files tell it: fail so many times, or wait.

``python -m tests.support.directed_worker``; the directory is named by ``$TRIAGE_TEST_DIRECTIONS``. For rows in which
inference itself is at fault, which no film can bring about.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Final

from model.decision import Score
from model.demographics import AgeSex
from model.errors import InferenceError
from model.image import Tensor
from services.jobs.logs import configure_logging
from services.jobs.settings import WorkerSettings
from services.worker.application import serve
from services.worker.batching import BatchScorer
from services.worker.configuration import Configuration
from services.worker.loading import BundleLoader, LoadedBundle

DIRECTORY_VARIABLE: Final = "TRIAGE_TEST_DIRECTIONS"
_POLL_SECONDS: Final = 0.01


class Directions:
    """What the test says and what the scorer reports: ``hold``, ``failures`` still to come, ``attempts`` made."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._hold = directory / "hold"
        self._failures = directory / "failures"
        self._attempts = directory / "attempts"
        self._noting = threading.Lock()  # a worker scores several batches at once

    def hold(self) -> None:
        """Let no batch end from now on."""
        self._hold.touch()

    def go_on(self) -> None:
        self._hold.unlink()

    @property
    def is_held(self) -> bool:
        return self._hold.exists()

    def fail(self, times: int) -> None:
        """Let so many batches fail from now on."""
        self._note_failures(times)

    def note_attempt(self) -> bool:
        """Write down when a batch began; return whether it is to fail."""
        with self._noting:
            with self._attempts.open("a") as attempts:
                attempts.write(f"{time.time()}\n")
            left = int(self._failures.read_text()) if self._failures.exists() else 0
            if left:
                self._note_failures(left - 1)
            return left > 0

    def _note_failures(self, times: int) -> None:
        # Renamed, so that the other side never reads half a number.
        (coming := self._failures.with_suffix(f".{os.getpid()}")).write_text(str(times))
        coming.replace(self._failures)

    def attempts(self) -> list[float]:
        """Return when batches began, in seconds since the epoch."""
        return [float(line) for line in self._attempts.read_text().split()] if self._attempts.exists() else []


class DirectedScorer:
    """A scorer that first asks what it is to do."""

    def __init__(self, loaded: BatchScorer, directions: Directions) -> None:
        self._loaded = loaded
        self._directions = directions

    def score(self, tensors: Tensor, age_sex: AgeSex | None = None) -> list[Score]:
        is_to_fail = self._directions.note_attempt()
        while self._directions.is_held:
            time.sleep(_POLL_SECONDS)
        if is_to_fail:
            raise InferenceError("as directed: out of memory")
        return self._loaded.score(tensors, age_sex)


class DirectedLoader(BundleLoader):
    """Loads bundles as every worker does, and puts the directions before their scorers."""

    def __init__(self, settings: WorkerSettings, directions: Directions) -> None:
        super().__init__(settings)
        self._directions = directions

    def load_configured(self) -> LoadedBundle:
        return self._directed(super().load_configured())

    def load_activated(self, digest: str) -> LoadedBundle:
        return self._directed(super().load_activated(digest))

    def _directed(self, loaded: LoadedBundle) -> LoadedBundle:
        return replace(loaded, scorer=DirectedScorer(loaded.scorer, self._directions))


def main() -> int:
    configuration = Configuration.load()
    configure_logging(configuration.worker.log_format, "worker")
    loader = DirectedLoader(configuration.worker, Directions(Path(os.environ[DIRECTORY_VARIABLE])))
    asyncio.run(serve(loader, configuration))
    return 0


if __name__ == "__main__":
    sys.exit(main())
