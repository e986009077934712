"""One optimisation loop for everything that learns: head on cached features, stages of films, pretraining.

Knows recipes' ``FitRecipe`` and a ``Task``; not where films come from. A loop that was killed goes on from its last
checkpoint as if nothing had happened: every random number is a function of seed, epoch and batch.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import ReduceLROnPlateau

from training.checkpoint import Checkpoints
from training.errors import RecipeError, TrainingDiverged
from training.learning.monitoring import chooses, gain, require_numbers
from training.learning.optimiser import MovingAverage, build_optimiser, build_schedule
from training.learning.randomness import Draw, mixed_seed
from training.learning.task import Epoch, Judgement, Task
from training.networks.freezing import enter_training
from training.ranks import Ranks
from training.recipe import FitRecipe


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """Where a fit runs and whom it tells.

    Attributes
    ----------
    name
        What errors call it, and the name of its checkpoint.
    finished
        Told about every epoch in order, those before a resumption included.
    passed
        Told how many films were learnt from since the last call.
    seconds_between
        Ends of epochs closer than this to the last checkpoint write none.
    seconds_within
        Within a long epoch, a killed training repeats at most so much of its work.
    """

    name: str
    seed: int
    ranks: Ranks
    checkpoints: Checkpoints
    finished: Callable[[Epoch], None] = lambda epoch: None
    passed: Callable[[int], None] = lambda films: None
    seconds_between: float = 0.0
    seconds_within: float = 600.0


@dataclass
class _Position:
    """How far a fit is: batches done of epoch ``epoch``, what they summed up to, and the last one's rate.

    ``best`` is the most that any epoch gained, ``stale`` the epochs since.
    """

    epoch: int = 1
    batch: int = 0
    loss: float = 0.0
    right: float = 0.0
    films: int = 0
    seconds: float = 0.0
    learning_rate: float = math.nan
    best: float = -math.inf
    stale: int = 0

    def next_epoch(self) -> _Position:
        return _Position(epoch=self.epoch + 1, best=self.best, stale=self.stale)


def fit(
    network: nn.Module, recipe: FitRecipe, task: Task, around: Surroundings, *, forward: nn.Module | None = None
) -> dict[str, Tensor]:
    """Train ``network`` and return the state of its best or its last epoch, as the recipe says.

    ``forward`` is what computes in place of ``network`` with the same parameters (a compiled one). The checkpoint stays
    until the caller has kept the result and forgets it.

    Raises
    ------
    TrainingDiverged
        If the loss, or loss or AUC on the select part, is no number.
    RecipeError
        If what the recipe watches is not defined on the select part.
    """
    return _Fit(network, recipe, task, around, network if forward is None else forward).run()


class _Fit:
    def __init__(
        self, network: nn.Module, recipe: FitRecipe, task: Task, around: Surroundings, forward: nn.Module
    ) -> None:
        self._network, self._recipe, self._task, self._around = network, recipe, task, around
        self._device = next(network.parameters()).device
        self._learning = [parameter for parameter in network.parameters() if parameter.requires_grad]
        self._optimiser = build_optimiser(network, recipe)
        self._schedule = build_schedule(self._optimiser, recipe, recipe.epochs * task.batches_per_epoch)
        # Rank 0 judges and keeps; an average on the others would be work for nothing.
        self._average = MovingAverage(network, recipe.ema_decay if around.ranks.leads else 0.0)
        self._position = _Position()
        self._kept: dict[str, Tensor] | None = None
        self._epochs: list[Epoch] = []
        self._restore()
        self._forward = around.ranks.parallel(forward)
        self._last_written = time.monotonic()

    def run(self) -> dict[str, Tensor]:
        for epoch in self._epochs:
            self._around.finished(epoch)
        while self._goes_on():
            self._run_epoch()
        if self._recipe.keep == "last" or self._kept is None:
            return self._average.network.state_dict()
        return self._kept

    def _goes_on(self) -> bool:
        is_stale = self._recipe.patience is not None and self._position.stale >= self._recipe.patience
        return self._position.epoch <= self._recipe.epochs and not is_stale

    def _run_epoch(self) -> None:
        at, began = self._position, time.monotonic()
        before = at.seconds
        sums = torch.tensor([at.loss, at.right, float(at.films)], dtype=torch.float64, device=self._device)
        enter_training(self._network)
        for inputs, targets in self._task.batches(at.epoch, at.batch):
            torch.manual_seed(mixed_seed(Draw.DROPOUT, self._around.seed, at.epoch, at.batch, self._around.ranks.rank))
            sums += self._learn(inputs, targets)
            at.batch += 1
            self._around.passed(len(inputs[0]) * self._around.ranks.size)
            if time.monotonic() - self._last_written > self._around.seconds_within:
                at.loss, at.right, at.films = float(sums[0]), float(sums[1]), int(sums[2])
                at.seconds = before + time.monotonic() - began
                self._write()
        loss, right, films = self._around.ranks.total(sums).tolist()
        rate = films / (before + time.monotonic() - began)
        accuracy = None if math.isnan(right) else right / films
        self._close_epoch(loss / films, accuracy, films_per_second=rate, began=began - before)

    def _close_epoch(self, loss: float, accuracy: float | None, *, films_per_second: float, began: float) -> None:
        at, around = self._position, self._around
        if not math.isfinite(loss):
            raise TrainingDiverged(f"{around.name}: the loss of epoch {at.epoch} is {loss}; lower the learning rate")
        judgement = around.ranks.share(self._task.judge(self._average.network.eval()) if around.ranks.leads else None)
        self._weigh(judgement)
        epoch = Epoch(
            number=at.epoch,
            loss=loss,
            accuracy=accuracy,
            select_auc=None if judgement is None else judgement.auc,
            findings_auc=None if judgement is None else judgement.findings_auc,
            select_loss=None if judgement is None else judgement.loss,
            select_accuracy=None if judgement is None else judgement.accuracy,
            select_recall=None if judgement is None else judgement.recall,
            learning_rate=at.learning_rate,
            films_per_second=round(films_per_second, 2),
            seconds=round(time.monotonic() - began, 3),
        )
        self._epochs.append(epoch)
        self._position = at.next_epoch()
        # The last epoch's end is the caller's to keep: killed in between, that one epoch is repeated.
        if self._goes_on() and time.monotonic() - self._last_written >= around.seconds_between:
            self._write()
        around.finished(epoch)

    def _weigh(self, judgement: Judgement | None) -> None:
        """Move on from an epoch: keep it or not, count the patience, lower the rates."""
        at, recipe, name = self._position, self._recipe, self._around.name
        if judgement is None:
            if isinstance(self._schedule, ReduceLROnPlateau):
                raise RecipeError(f'{name}: schedule = "plateau" watches the loss on select films, and there are none')
            return
        require_numbers(judgement, name=name, epoch=at.epoch)
        if isinstance(self._schedule, ReduceLROnPlateau):
            self._schedule.step(judgement.loss)
        if not chooses(recipe):
            return
        gained = gain(judgement, recipe, name=name)
        at.stale = 0 if gained > at.best else at.stale + 1
        # Of two equal epochs the later one is kept: it has learnt longer.
        if gained >= at.best and recipe.keep == "best":
            self._kept = copy.deepcopy(self._average.network.state_dict())
        at.best = max(at.best, gained)

    def _learn(self, inputs: tuple[Tensor, ...], targets: Any) -> Tensor:
        """Take one step; return loss and right answers, both times films, and films, ``(3,)`` float64."""
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self._recipe.bf16):
            outputs = self._forward(*inputs)
        loss = self._task.loss(outputs, targets)
        self._optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]  # torch ships this method without annotations
        if self._recipe.clip_norm is not None:
            nn.utils.clip_grad_norm_(self._learning, self._recipe.clip_norm)
        self._optimiser.step()
        # The last group is the head's.
        self._position.learning_rate = self._optimiser.param_groups[-1]["lr"]
        if not isinstance(self._schedule, ReduceLROnPlateau):
            self._schedule.step()
        self._average.follow(self._network)
        with torch.no_grad():
            right = self._task.accuracy(outputs, targets)
        films = len(inputs[0])
        share = torch.full_like(loss, math.nan) if right is None else right
        return torch.stack(
            [loss.detach().double() * films, share.double() * films, torch.full_like(loss, films).double()]
        )

    def _write(self) -> None:
        if self._around.ranks.leads:
            self._around.checkpoints.write(
                self._around.name,
                {
                    "position": asdict(self._position),
                    "epochs": [epoch.as_dict() for epoch in self._epochs],
                    "network": self._network.state_dict(),
                    "optimiser": self._optimiser.state_dict(),
                    "schedule": self._schedule.state_dict(),
                    "average": self._average.state_dict(),
                    "kept": self._kept,
                },
            )
        self._last_written = time.monotonic()

    def _restore(self) -> None:
        around = self._around
        state = around.ranks.share(around.checkpoints.read(around.name) if around.ranks.leads else None)
        if state is None:
            return
        self._position = _Position(**state["position"])
        self._epochs = [Epoch(**epoch) for epoch in state["epochs"]]
        self._network.load_state_dict(state["network"])
        self._optimiser.load_state_dict(state["optimiser"])
        self._schedule.load_state_dict(state["schedule"])
        if around.ranks.leads:
            self._average.load_state_dict(state["average"])
            self._kept = state["kept"]
