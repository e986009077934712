"""One optimisation loop for every stage: head on cached features, last block, whole network.

Knows recipes' ``FitRecipe`` and tensors; not where they come from. Which epoch is kept is the recipe's choice.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from training.errors import TrainingDiverged
from training.network import enter_training
from training.recipe import FitRecipe

Batch = tuple[Tensor, Tensor]


@dataclass(frozen=True, kw_only=True)
class Epoch:
    """What one epoch did."""

    number: int
    loss: float
    select_auc: float

    def note(self) -> str:
        """Return what a progress bar says of it."""
        return f"loss {self.loss:.4f}, AUC {self.select_auc:.3f}"

    def as_dict(self) -> dict[str, float]:
        """Return the fields by name, for a JSON line."""
        return asdict(self)


class _Average:
    """Exponential moving average of parameters and batch statistics; with decay 0 it is the network itself."""

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.network = copy.deepcopy(network) if decay else network
        self._decay = decay
        self._steps = 0

    @torch.no_grad()
    def follow(self, network: nn.Module) -> None:
        if not self._decay:
            return
        self._steps += 1
        # The average forgets its random start first: short runs would otherwise carry it to the end.
        decay = min(self._decay, (1 + self._steps) / (10 + self._steps))
        theirs = network.state_dict()
        for name, mine in self.network.state_dict().items():
            if mine.is_floating_point():
                mine.lerp_(theirs[name], 1 - decay)
            else:
                mine.copy_(theirs[name])


class _Optimisation:
    """What lives through all epochs: optimiser, its schedule, and the average."""

    def __init__(self, network: nn.Module, recipe: FitRecipe, steps: int) -> None:
        self._network = network
        self._recipe = recipe
        self._learning = [parameter for parameter in network.parameters() if parameter.requires_grad]
        self._optimiser = _optimiser(self._learning, recipe)
        self._schedule = torch.optim.lr_scheduler.LambdaLR(self._optimiser, _schedule(recipe, steps))
        self._average = _Average(network, recipe.ema_decay)

    def run_epoch(self, batches: Iterable[Batch]) -> float:
        """Learn from every batch once; return the mean loss of a film."""
        enter_training(self._network)
        total, seen = 0.0, 0
        for inputs, labels in batches:
            loss = self._learn(inputs, labels)
            total, seen = total + loss * len(labels), seen + len(labels)
        return total / seen

    def averaged_network(self) -> nn.Module:
        """Return the network that would be kept now, in evaluation mode."""
        return self._average.network.eval()

    def _learn(self, inputs: Tensor, labels: Tensor) -> float:
        with torch.autocast(inputs.device.type, torch.bfloat16, enabled=self._recipe.bf16):
            logits = self._network(inputs)
        loss = cross_entropy(logits.float(), labels)
        self._optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]  # torch ships this method without annotations
        if self._recipe.clip_norm is not None:
            nn.utils.clip_grad_norm_(self._learning, self._recipe.clip_norm)
        self._optimiser.step()
        self._schedule.step()
        self._average.follow(self._network)
        return loss.item()


def fit(
    network: nn.Module,
    recipe: FitRecipe,
    *,
    batches: Callable[[int], Iterable[Batch]],
    batches_per_epoch: int,
    validate: Callable[[nn.Module], float],
    finished: Callable[[Epoch], None],
) -> dict[str, Tensor]:
    """Train ``network`` and return the state of its best or its last epoch, as the recipe says.

    Parameters
    ----------
    batches
        Called with the epoch's number; yields inputs and int64 labels ``(n,)``.
    validate
        Returns the AUC on the select part; of two equal epochs the later one is kept.
    finished
        Told about every epoch.

    Raises
    ------
    TrainingDiverged
        If the loss or the AUC on the select part is no number.
    """
    optimisation = _Optimisation(network, recipe, recipe.epochs * batches_per_epoch)
    best_auc, kept = -math.inf, network.state_dict()
    for number in range(1, recipe.epochs + 1):
        loss = optimisation.run_epoch(batches(number))
        if not math.isfinite(loss):
            raise TrainingDiverged(f"the loss of epoch {number} is {loss}; lower the learning rate")
        averaged = optimisation.averaged_network()
        auc = validate(averaged)
        if not math.isfinite(auc):
            raise TrainingDiverged(f"the AUC of epoch {number} on select films is {auc}; lower the learning rate")
        if auc >= best_auc or recipe.keep == "last":
            best_auc, kept = auc, copy.deepcopy(averaged.state_dict())
        finished(Epoch(number=number, loss=loss, select_auc=auc))
    return kept


def shuffled_batches(count: int, batch_size: int, *, seed: int, epoch: int) -> list[Tensor]:
    """Return index batches of one epoch; depends on seed and epoch alone. A last batch of one is left out.

    Batch normalisation cannot learn from a single film.
    """
    generator = torch.Generator().manual_seed(seed * 100_003 + epoch)
    order = torch.randperm(count, generator=generator)
    return [batch for batch in torch.split(order, batch_size) if len(batch) > 1]


def _optimiser(learning: Sequence[nn.Parameter], recipe: FitRecipe) -> torch.optim.Optimizer:
    # Decay pulls weights towards 0; on biases and normalisation that would shift the film's brightness.
    groups = [
        {"params": [parameter for parameter in learning if parameter.ndim > 1], "weight_decay": recipe.weight_decay},
        {"params": [parameter for parameter in learning if parameter.ndim <= 1], "weight_decay": 0.0},
    ]
    if recipe.optimiser == "sgd":
        return torch.optim.SGD(groups, lr=recipe.learning_rate, momentum=recipe.momentum)
    return torch.optim.AdamW(groups, lr=recipe.learning_rate)


def _schedule(recipe: FitRecipe, steps: int) -> Callable[[int], float]:
    warmup = max(1, round(recipe.warmup * steps))

    def factor(step: int) -> float:
        if recipe.warmup and step < warmup:
            return (step + 1) / warmup
        if recipe.schedule == "constant":
            return 1.0
        progress = (step - warmup) / max(1, steps - warmup)
        return 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))

    return factor
