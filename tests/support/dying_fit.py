"""A fit of dots on a line that takes milliseconds; run as a program, it is killed twice for each recipe."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
import torch._dynamo  # optimisers load it when they are made: here once for all forks
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
# The epoch of the least judged loss is kept, and the rate falls as soon as that does not.
WATCHFUL = RECIPE.model_copy(update={"schedule": "plateau", "warmup": 0.0, "plateau_patience": 0, "monitor": "loss"})
RECIPES = {"plain": RECIPE, "watchful": WATCHFUL}
# The batch at which a process dies, and the seconds between checkpoints within an epoch: in the second of four epochs
# of eight batches, which starts over; then in the third, kept after every batch.
DEATHS = ((11, 600.0), (10, 0.0))
_DOTS = 64


def judgement(*, auc: float = 0.5, loss: float = 0.7, findings_auc: float | None = None) -> Judgement:
    """Return a judgement of which only some figures matter."""
    return Judgement(auc=auc, findings_auc=findings_auc, loss=loss, accuracy=0.5, recall=None)


class Dots:
    """Tells positive from negative first coordinates; ``dies_at`` counts the batches of this process.

    ``judge`` answers in place of the loss on all dots. That is negated: on every processor the fit seems to get worse.
    """

    def __init__(
        self, recipe: FitRecipe = RECIPE, *, judge: Callable[[], Judgement | None] | None = None, dies_at: int = 0
    ) -> None:
        generator = torch.Generator().manual_seed(0)
        self._inputs = torch.randn((_DOTS, 3), generator=generator)
        self._labels = (self._inputs[:, 0] > 0).long()
        self._recipe, self._judge, self._dies_at = recipe, judge, dies_at
        self.batches_seen = 0

    @property
    def batches_per_epoch(self) -> int:
        """Batches of one epoch."""
        return len(self._shuffled(0))

    def batches(self, epoch: int, first: int) -> Iterator[tuple[tuple[Tensor], Tensor]]:
        """Yield the batches of an epoch, or end this process as the kernel would."""
        for rows in self._shuffled(epoch)[first:]:
            self.batches_seen += 1
            if self.batches_seen == self._dies_at:
                os.kill(os.getpid(), signal.SIGKILL)
            yield (self._inputs[rows],), self._labels[rows]

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return cross-entropy."""
        return cross_entropy(outputs.float(), targets)

    def accuracy(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the share of right answers."""
        return (outputs.argmax(dim=1) == targets).float().mean()

    def judge(self, network: nn.Module) -> Judgement | None:
        """Return what the test wants, or the loss on all dots, negated."""
        if self._judge is not None:
            return self._judge()
        with torch.inference_mode():
            return judgement(loss=-float(self.loss(network(self._inputs), self._labels)))

    def _shuffled(self, epoch: int) -> list[Tensor]:
        size, at_most = self._recipe.batch_size, self._recipe.batches_per_epoch
        return shuffled_batches(_DOTS, size, seed=1, epoch=epoch, at_most=at_most)


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


def die(folder: Path, recipe: FitRecipe, batch: int, seconds_within: float) -> None:
    """Fit with checkpoints in ``folder`` until the kernel ends this process at its ``batch``."""
    torch.set_num_threads(1)
    fitted(recipe, Dots(recipe, dies_at=batch), surroundings(folder, seconds_within=seconds_within))


if __name__ == "__main__":
    for name, chosen in RECIPES.items():
        for death in DEATHS:
            # Forks of a process that has loaded torch and computed nothing with it.
            child = os.fork()
            if child == 0:
                die(Path(sys.argv[1]) / name, chosen, *death)
                os._exit(0)
            print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
