"""What the labelled films of a run teach, and whom they judge: the one reading of the table for every kind of learning.

Knows labels, age and sex; not pixels or features, which the tasks above it read by the rows given here.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from training.datasets.inputs import age_sex_of
from training.datasets.labels import findings_of, labels_of, rows_of
from training.datasets.sample import Part, read_samples
from training.learning.judging import accuracy, judge_answers
from training.learning.loss import Labels, TriageLoss
from training.learning.task import Judgement
from training.step import StepContext

Rows = NDArray[np.int64]

# What an age or a sex counts as that is unknown of every train film.
_NOTHING_KNOWN = 0.5


class LabelledFilms:
    """Labels, age and sex of a run's films, in the order of its samples.

    Attributes
    ----------
    train, select
        Row numbers of the two parts.
    labels
        Of all films.
    age_sex
        ``(n, 2)`` float32 as ``model.demographics`` encodes it; ``None`` where the network does not take it.

    Raises
    ------
    RecipeError
        If the recipe weighs a finding that is on none or on all of the train films.
    """

    def __init__(self, context: StepContext) -> None:
        recipe = context.order.recipe
        table = read_samples(context.run.samples)
        keeps_out = recipe.data.leave_out_disputed
        self.train: Rows = np.array(rows_of(table, Part.TRAIN, leave_out_disputed=keeps_out), dtype=np.int64)
        self.select: Rows = np.array(rows_of(table, Part.SELECT, leave_out_disputed=keeps_out), dtype=np.int64)
        self.labels = Labels(
            unhealthy=torch.from_numpy(labels_of(table)),
            findings=torch.from_numpy(findings_of(table, recipe.network.findings)),
        )
        self.age_sex = torch.from_numpy(age_sex_of(table)) if recipe.network.age_sex else None
        self._device = context.device
        taught = self.labels.rows(torch.from_numpy(self.train))
        self._loss = TriageLoss.of(recipe.loss, recipe.network, taught).to(context.device)

    @property
    def neutral(self) -> Tensor | None:
        """Mean age and sex ``(2,)`` of the train films that say, .5 where none does; ``None`` without age and sex."""
        if self.age_sex is None:
            return None
        return self.age_sex[self.train].nanmean(dim=0).nan_to_num(nan=_NOTHING_KNOWN)

    def beside(self, rows: Rows) -> tuple[Tensor, ...]:
        """Return what the network takes beside the pixels of ``rows``: nothing, or age and sex, on the device."""
        if self.age_sex is None:
            return ()
        return (self.age_sex[torch.from_numpy(rows)].to(self._device, non_blocking=True),)

    def labels_at(self, rows: Rows) -> Labels:
        """Return the labels of ``rows`` on the device."""
        return self.labels.rows(torch.from_numpy(rows)).to(self._device)

    def loss(self, outputs: Tensor, targets: Labels) -> Tensor:
        """Return the recipe's loss."""
        return self._loss(outputs, targets)

    def accuracy(self, outputs: Tensor, targets: Labels) -> Tensor:
        """Return the share of right answers at probability .5."""
        return accuracy(outputs, targets, any_finding=self._loss.any_finding)

    def judgement(self, logits: Tensor) -> Judgement:
        """Judge answers to all select films, in the order of ``select``."""
        return judge_answers(logits, self.labels_at(self.select), self._loss)
