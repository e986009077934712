"""What every step is handed: the run, what was ordered, and the machine it runs on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from rich.console import Console

from training.checkpoint import Checkpoints
from training.ranks import ALONE, Ranks
from training.run_directory import Order, RunDirectory


@dataclass(frozen=True, kw_only=True)
class StepContext:
    """Inputs of a step besides the files of earlier ones.

    Attributes
    ----------
    device
        Where torch computes.
    threads
        Threads that onnxruntime may use.
    destination
        Where ``publish`` puts the bundle.
    key
        Digest of the inputs of the step that runs; its checkpoints carry it.
    ranks
        The processes that train together.
    spark
        Spark master that frozen features are extracted on; ``None`` for this machine and process.
    """

    run: RunDirectory
    order: Order
    console: Console
    device: torch.device
    threads: int
    destination: Path
    key: str = ""
    ranks: Ranks = ALONE
    spark: str | None = None

    def checkpoints(self, step: str) -> Checkpoints:
        """Return where ``step`` keeps what it resumes from after it was killed."""
        return Checkpoints(
            folder=self.run.root / f".{step}.checkpoints",
            key=self.ranks.keyed(self.key),
            say=self.console.print,
            writes=self.ranks.leads,
        )


class StepFunction(Protocol):
    """Reads the files of earlier steps through ``context.run`` and writes its own into ``output``."""

    def __call__(self, context: StepContext, output: Path) -> None:
        """Write the step's files into ``output``, a fresh folder."""
