"""Fourth step: the tanh head learns on frozen features, before any convolution is touched."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from training.datasets.sample import Part, read_samples
from training.fitting import Batch, fit, shuffled_batches
from training.labels import area_under_curve, labels_of, rows_of
from training.network import TriageNetwork, save_state
from training.progress import progress_bar
from training.step import StepContext


def run(context: StepContext, output: Path) -> None:
    """Write ``head.pt``; nothing where the run has no frozen features.

    Raises
    ------
    TrainingDiverged
        If loss or AUC are no numbers.
    """
    if not context.run.features.exists():
        return
    recipe = context.order.recipe
    torch.manual_seed(recipe.seed)
    head = TriageNetwork(recipe.network).head.to(context.device)
    features = _Features(context)
    with progress_bar(total=recipe.head.epochs, label="head", console=context.console) as advance:
        state = fit(
            head,
            recipe.head,
            batches=features.batches,
            batches_per_epoch=len(features.shuffled(0)),
            validate=features.validate,
            finished=lambda epoch: advance(epoch.note()),
        )
    save_state(state, output / context.run.head.name)


class _Features:
    """Batches of frozen features of the train part, and the AUC on the select part; all of it fits in memory."""

    def __init__(self, context: StepContext) -> None:
        self._recipe = context.order.recipe
        table = read_samples(context.run.samples)
        keep_disputed_out = self._recipe.data.leave_out_disputed
        self._features = torch.from_numpy(np.load(context.run.features, allow_pickle=False)).to(context.device)
        self._labels = torch.from_numpy(labels_of(table)).to(context.device)
        self._train = torch.as_tensor(rows_of(table, Part.TRAIN, leave_out_disputed=keep_disputed_out))
        self._select = torch.as_tensor(rows_of(table, Part.SELECT, leave_out_disputed=keep_disputed_out))

    def shuffled(self, epoch: int) -> list[torch.Tensor]:
        size, seed = self._recipe.head.batch_size, self._recipe.seed
        return shuffled_batches(len(self._train), size, seed=seed, epoch=epoch)

    def batches(self, epoch: int) -> Iterator[Batch]:
        for picked in self.shuffled(epoch):
            rows = self._train[picked].to(self._labels.device)
            yield self._features[rows], self._labels[rows]

    def validate(self, network: torch.nn.Module) -> float:
        rows = self._select.to(self._labels.device)
        with torch.inference_mode():
            return area_under_curve(self._labels[rows], network(self._features[rows]))
