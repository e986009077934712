"""How long a recipe takes on this machine: a few batches of every stage on made-up films, scaled to a collection.

Counts the learning of stages alone. Decoding, validation, export and evaluation come on top (minutes against hours),
and with given weights frozen features, for which every film passes the backbone once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.utils import convert_conv2d_weight_memory_format

from training.checkpoint import Checkpoints
from training.learning.augmentation import augment
from training.learning.compiling import compiled
from training.learning.fitting import Surroundings, fit
from training.learning.judging import accuracy
from training.learning.loss import Labels, TriageLoss
from training.learning.stages import stages_of
from training.learning.task import Epoch
from training.networks.freezing import freeze_below
from training.networks.network import TriageNetwork
from training.ranks import ALONE
from training.recipe import Recipe, StageRecipe

_SECONDS_PER_HOUR = 3600.0


@dataclass(frozen=True, kw_only=True)
class StagePlan:
    """A stage's measured rate and what it makes of the collection; ``walks`` is how often it is walked."""

    number: int
    learns: str
    size: int
    epochs: int
    walks: int
    films_per_second: float
    hours: float


def plan(recipe: Recipe, *, films: int, has_weights: bool, device: torch.device, batches: int) -> list[StagePlan]:
    """Measure every stage for ``batches`` batches, after as many to warm up, and compute hours for ``films`` films.

    There is no stage, and nothing to measure, where a head alone learns on frozen features.

    Raises
    ------
    RecipeError
        As ``stages_of``.
    """
    found = []
    for number, stage in enumerate(stages_of(recipe, has_weights=has_weights), start=1):
        is_shared = not has_weights and number == 1
        walks = 1 if is_shared else recipe.averaging.members
        rate = _films_per_second(recipe, stage, device, batches)
        an_epoch = min(films, (stage.batches_per_epoch or films) * stage.batch_size)
        found.append(
            StagePlan(
                number=number,
                learns=stage.learns,
                size=stage.size or recipe.preprocessing.size,
                epochs=stage.epochs,
                walks=walks,
                films_per_second=rate,
                hours=an_epoch * stage.epochs * walks / rate / _SECONDS_PER_HOUR,
            )
        )
    return found


def _films_per_second(recipe: Recipe, stage: StageRecipe, device: torch.device, batches: int) -> float:
    network = TriageNetwork(recipe.network, size=stage.size or recipe.preprocessing.size)
    freeze_below(network, stage.learns)
    convert_conv2d_weight_memory_format(network.to(device), torch.channels_last)
    forward = compiled(network, say=lambda remark: None) if stage.compile else network
    epochs: list[Epoch] = []
    around = Surroundings(
        name="plan",
        seed=recipe.seed,
        ranks=ALONE,
        checkpoints=Checkpoints(folder=Path("unused"), key="", say=lambda remark: None, writes=False),
        finished=epochs.append,
    )
    # Nothing is judged, so that nothing may be steered by it.
    twice = stage.model_copy(update={"epochs": 2, "patience": None, "schedule": "constant"})
    fit(network, twice, _MadeUpFilms(recipe, stage, device, batches), around, forward=forward)
    return epochs[-1].films_per_second


class _MadeUpFilms:
    """Noise with labels, age and sex; networks take the same time for it as for films."""

    def __init__(self, recipe: Recipe, stage: StageRecipe, device: torch.device, batches: int) -> None:
        self._recipe, self.batches_per_epoch = recipe, batches
        size, count = stage.size or recipe.preprocessing.size, stage.batch_size
        self._generator = torch.Generator(device).manual_seed(recipe.seed)
        self._films = torch.randint(
            0, 256, (count, 1, size, size), dtype=torch.uint8, device=device, generator=self._generator
        )
        self._labels = Labels(
            unhealthy=torch.arange(count, device=device) % 2,
            findings=torch.zeros((count, len(recipe.network.findings)), device=device),
        )
        self._beside = (torch.full((count, 2), torch.nan, device=device),) if recipe.network.age_sex else ()
        # Without class weights: those of films without findings are not defined.
        self._loss = TriageLoss(recipe=recipe.loss, any_finding=recipe.network.any_finding)

    def batches(self, epoch: int, first: int) -> Iterator[tuple[tuple[Tensor, ...], Labels]]:
        for _ in range(first, self.batches_per_epoch):
            films = augment(self._films, self._recipe.augmentation, self._generator)
            yield (films.contiguous(memory_format=torch.channels_last), *self._beside), self._labels

    def loss(self, outputs: Tensor, targets: Labels) -> Tensor:
        return self._loss(outputs, targets)

    def accuracy(self, outputs: Tensor, targets: Labels) -> Tensor:
        return accuracy(outputs, targets, any_finding=self._recipe.network.any_finding)

    def judge(self, network: nn.Module) -> None:
        """Nothing to choose."""
