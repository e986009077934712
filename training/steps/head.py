"""Fourth step: the head learns on frozen features, before any convolution is touched."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from training.errors import RunError
from training.learning.fitting import Surroundings, fit
from training.learning.labelled_films import LabelledFilms
from training.learning.loss import Labels
from training.learning.randomness import Draw, mixed_seed, shuffled_batches
from training.learning.task import Epoch, Judgement
from training.networks.network import TriageNetwork
from training.networks.states import save_state
from training.progress import progress_bar
from training.ranks import ALONE
from training.recipe import FitRecipe
from training.step import StepContext

# An epoch on features takes milliseconds; keeping each of hundreds would cost more than the head.
_SECONDS_BETWEEN_CHECKPOINTS = 30.0


def run(context: StepContext, output: Path) -> None:
    """Write ``head.pt`` and ``history.jsonl``, one line an epoch; nothing without frozen features or a head to train.

    ``head.pt`` holds the head's layers and, where the network takes age and sex, ``neutral``.

    Raises
    ------
    RecipeError
        If class weights or what the recipe watches are not defined on these films.
    TrainingDiverged
        If loss or AUC are no numbers.
    """
    recipe = context.order.recipe
    if recipe.head is None or not context.run.features.exists():
        return
    torch.manual_seed(recipe.seed)
    network = TriageNetwork(recipe.network, size=recipe.preprocessing.size)
    features = _Features(context, recipe.head, network)
    checkpoints = context.checkpoints("head")
    history = output / context.run.head_history.name
    with (
        history.open("w", encoding="utf-8") as lines,
        progress_bar(total=recipe.head.epochs, label="head", console=context.console) as advance,
    ):

        def finished(epoch: Epoch) -> None:
            lines.write(json.dumps(epoch.as_dict()) + "\n")
            advance(epoch.note())

        around = Surroundings(
            name="head",
            seed=recipe.seed,
            ranks=ALONE,
            checkpoints=checkpoints,
            finished=finished,
            seconds_between=_SECONDS_BETWEEN_CHECKPOINTS,
        )
        state = fit(network.head.to(context.device), recipe.head, features, around)
    save_state({**state, **features.kept}, output / context.run.head.name)
    checkpoints.clear()


class _Features:
    """Batches of frozen features of the train part, joined with age and sex; all of it fits in memory.

    ``kept`` is what the head must be used with: ``neutral``, where there is age and sex. ``network`` gets it too.
    """

    def __init__(self, context: StepContext, recipe: FitRecipe, network: TriageNetwork) -> None:
        self._recipe, self._seed = recipe, mixed_seed(Draw.LEG, context.order.recipe.seed, 0)
        self._labelled = LabelledFilms(context)
        self.kept: dict[str, Tensor] = {}
        if (neutral := self._labelled.neutral) is not None:
            network.neutral.copy_(neutral)
            self.kept = {"neutral": neutral}
        found = torch.from_numpy(np.load(context.run.features, allow_pickle=False))
        self._inputs = network.joined(found, self._labelled.age_sex).to(context.device)
        self._labels = self._labelled.labels.to(context.device)
        train, select = self._labelled.train, self._labelled.select
        self._train, self._select = (torch.as_tensor(rows, device=context.device) for rows in (train, select))
        if not self.batches_per_epoch:
            raise RunError(f"{len(train)} films in train are too few for a batch")

    @property
    def batches_per_epoch(self) -> int:
        return len(self._shuffled(0))

    def batches(self, epoch: int, first: int) -> Iterator[tuple[tuple[Tensor], Labels]]:
        for picked in self._shuffled(epoch)[first:]:
            rows = self._train[picked.to(self._train.device)]
            yield (self._inputs[rows],), self._labels.rows(rows)

    def loss(self, outputs: Tensor, targets: Labels) -> Tensor:
        return self._labelled.loss(outputs, targets)

    def accuracy(self, outputs: Tensor, targets: Labels) -> Tensor:
        return self._labelled.accuracy(outputs, targets)

    def judge(self, network: torch.nn.Module) -> Judgement:
        with torch.inference_mode():
            return self._labelled.judgement(network(self._inputs[self._select]))

    def _shuffled(self, epoch: int) -> list[Tensor]:
        return shuffled_batches(
            len(self._train),
            self._recipe.batch_size,
            seed=self._seed,
            epoch=epoch,
            at_most=self._recipe.batches_per_epoch,
        )
