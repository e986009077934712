"""A worker that takes its time, so that films stay in flight: ``python -m tests.support.unhurried_worker``."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from typing import Final

from model.decision import Score
from model.demographics import AgeSex
from model.image import Tensor
from services.worker.batching import BatchScorer
from tests.support.faulty_worker import run_worker

_SECONDS_A_FILM: Final = 0.06


@dataclass(frozen=True)
class UnhurriedScorer:
    """Scores as the loaded scorer does, and takes its time."""

    loaded: BatchScorer

    def score(self, tensors: Tensor, age_sex: AgeSex | None = None) -> list[Score]:
        time.sleep(_SECONDS_A_FILM * len(tensors))
        return self.loaded.score(tensors, age_sex)


if __name__ == "__main__":
    sys.exit(run_worker(UnhurriedScorer))
