"""What every rank but the first does in a run: wait until the first needs company, and compute beside it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from training.ranks import Ranks
from training.step import StepContext
from training.steps import finetune

END = "end of run"


def follow(context: Callable[[], StepContext], ranks: Ranks) -> None:
    """Take part in each fine-tuning that rank 0 calls to, until it says that the run is over.

    ``context`` is asked for only then: by that time rank 0 has written the order and finished the steps before.

    Raises
    ------
    TrainingError
        As the fine-tuning does; ``LeaderFailed`` if rank 0 has failed.
    """
    while (key := ranks.share("")) != END:
        finetune.take_part(replace(context(), key=key))


def dismiss(ranks: Ranks) -> None:
    """Tell the others that the run is over."""
    ranks.share(END)
