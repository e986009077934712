"""A fit of dots on a line that takes milliseconds; run as a program, it kills its own process at a given batch."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from training.checkpoint import Checkpoints
from training.learning.fitting import Surroundings, fit
from training.learning.randomness import shuffled_batches
from training.learning.task import Judgement
from training.ranks import ALONE
from training.recipe import FitRecipe

RECIPE = FitRecipe(
    epochs=4, batch_size=8, optimiser="adamw", learning_rate=0.05, schedule="cosine", warmup=0.2, ema_decay=0.8
)
_DOTS = 64


class Dots:
    """Tells positive from negative first coordinates; ``dies_at`` counts the batches of this process."""

    batches_per_epoch = _DOTS // RECIPE.batch_size

    def __init__(self, *, judge: Callable[[], Judgement | None] = lambda: Judgement(auc=0.5), dies_at: int = 0) -> None:
        generator = torch.Generator().manual_seed(0)
        self._inputs = torch.randn((_DOTS, 3), generator=generator)
        self._labels = (self._inputs[:, 0] > 0).long()
        self._judge, self._dies_at = judge, dies_at
        self.batches_seen = 0

    def batches(self, epoch: int, first: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the batches of an epoch, or end this process as the kernel would."""
        for rows in shuffled_batches(_DOTS, RECIPE.batch_size, seed=1, epoch=epoch)[first:]:
            self.batches_seen += 1
            if self.batches_seen == self._dies_at:
                os.kill(os.getpid(), signal.SIGKILL)
            yield self._inputs[rows], self._labels[rows]

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return cross-entropy."""
        return cross_entropy(outputs.float(), targets)

    def judge(self, network: nn.Module) -> Judgement | None:
        """Return what the test wants."""
        return self._judge()


def surroundings(folder: Path, *, seconds_within: float = 600.0) -> Surroundings:
    """Return surroundings that keep checkpoints in ``folder``, after every batch if ``seconds_within`` is 0."""
    checkpoints = Checkpoints(folder=folder, key="key", say=print)
    return Surroundings(name="dots", seed=1, ranks=ALONE, checkpoints=checkpoints, seconds_within=seconds_within)


def dots_network() -> nn.Sequential:
    """Return a network with dropout and batch statistics, so that all that is random or accumulated takes part."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8), nn.Dropout(0.3), nn.Linear(8, 2))


def fitted(recipe: FitRecipe, task: Dots, around: Surroundings) -> dict[str, Tensor]:
    """Fit a fresh network of dots."""
    return fit(dots_network(), recipe, task, around)


if __name__ == "__main__":
    place, batch, seconds = sys.argv[1:]
    torch.set_num_threads(1)
    fitted(RECIPE, Dots(dies_at=int(batch)), surroundings(Path(place), seconds_within=float(seconds)))
