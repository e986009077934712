"""A worker whose inference dies of certain films, past every sandbox: ``python -m tests.support.poisoned_worker``."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import sys
from dataclasses import dataclass

from model.decision import Score
from model.demographics import AgeSex
from model.image import Tensor
from services.worker.batching import BatchScorer
from tests.support.faulty_worker import run_worker
from tests.support.told_apart_films import DYING, is_poison


@dataclass(frozen=True)
class MortalScorer:
    """Scores as the loaded scorer does, unless a batch holds poison: then the process says so, and ends at once."""

    loaded: BatchScorer

    def score(self, tensors: Tensor, age_sex: AgeSex | None = None) -> list[Score]:
        deadly = [hashlib.sha256(tensor.tobytes()).hexdigest() for tensor in tensors if is_poison(tensor)]
        if deadly:
            os.write(sys.stderr.fileno(), json.dumps({"action": DYING, "films": deadly}).encode() + b"\n")
            os.kill(os.getpid(), signal.SIGSEGV)
        return self.loaded.score(tensors, age_sex)


if __name__ == "__main__":
    sys.exit(run_worker(MortalScorer))
