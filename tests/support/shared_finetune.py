"""The fine-tuning of a prepared run by all processes that torchrun started; a program for tests."""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from rich.console import Console

from training.following import dismiss, follow
from training.line import run_step
from training.ranks import Ranks, joined_ranks
from training.run_directory import RunDirectory
from training.step import StepContext


def _context(root: Path, ranks: Ranks) -> StepContext:
    run = RunDirectory(root)
    return StepContext(
        run=run,
        order=run.read_order(),
        console=Console(quiet=True),
        device=torch.device("cpu"),
        threads=1,
        destination=root / "bundle",
        ranks=ranks,
    )


if __name__ == "__main__":
    with joined_ranks() as joined:
        place = Path(sys.argv[1])
        if joined.leads:
            run_step(_context(place, joined), "finetune")
            dismiss(joined)
        else:
            follow(lambda: _context(place, joined), joined)
