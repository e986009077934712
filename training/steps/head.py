"""Fourth step: the tanh head learns on frozen features, before any convolution is touched."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from training.datasets.labels import area_under_curve, findings_of, labels_of, mean_findings_auc, rows_of
from training.datasets.sample import Part, read_samples
from training.errors import RunError
from training.learning.fitting import Surroundings, fit
from training.learning.loss import Labels, triage_loss
from training.learning.network import TriageNetwork, save_state
from training.learning.randomness import Draw, mixed_seed, shuffled_batches
from training.learning.task import Judgement
from training.progress import progress_bar
from training.ranks import ALONE
from training.step import StepContext

# An epoch on features takes milliseconds; keeping each of hundreds would cost more than the head.
_SECONDS_BETWEEN_CHECKPOINTS = 30.0


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
    checkpoints = context.checkpoints("head")
    with progress_bar(total=recipe.head.epochs, label="head", console=context.console) as advance:
        around = Surroundings(
            name="head",
            seed=recipe.seed,
            ranks=ALONE,
            checkpoints=checkpoints,
            finished=lambda epoch: advance(epoch.note()),
            seconds_between=_SECONDS_BETWEEN_CHECKPOINTS,
        )
        state = fit(head, recipe.head, _Features(context), around)
    save_state(state, output / context.run.head.name)
    checkpoints.clear()


class _Features:
    """Batches of frozen features of the train part, and the AUC on the select part; all of it fits in memory."""

    def __init__(self, context: StepContext) -> None:
        self._recipe = context.order.recipe
        table = read_samples(context.run.samples)
        keep_disputed_out = self._recipe.data.leave_out_disputed
        self._features = torch.from_numpy(np.load(context.run.features, allow_pickle=False)).to(context.device)
        self._labels = Labels(
            unhealthy=torch.from_numpy(labels_of(table)),
            findings=torch.from_numpy(findings_of(table, self._recipe.network.findings)),
        ).to(context.device)
        train = rows_of(table, Part.TRAIN, leave_out_disputed=keep_disputed_out)
        select = rows_of(table, Part.SELECT, leave_out_disputed=keep_disputed_out)
        self._train, self._select = (torch.as_tensor(rows, device=context.device) for rows in (train, select))
        if not self.batches_per_epoch:
            raise RunError(f"{len(train)} films in train are too few for a batch")

    @property
    def batches_per_epoch(self) -> int:
        return len(self._shuffled(0))

    def batches(self, epoch: int, first: int) -> Iterator[tuple[Tensor, Labels]]:
        for picked in self._shuffled(epoch)[first:]:
            rows = self._train[picked.to(self._train.device)]
            yield self._features[rows], self._labels.rows(rows)

    def loss(self, outputs: Tensor, targets: Labels) -> Tensor:
        return triage_loss(outputs, targets, self._recipe.loss)

    def judge(self, network: torch.nn.Module) -> Judgement:
        with torch.inference_mode():
            logits = network(self._features[self._select])
        labels = self._labels.rows(self._select)
        return Judgement(
            auc=area_under_curve(labels.unhealthy, logits), findings_auc=mean_findings_auc(labels.findings, logits)
        )

    def _shuffled(self, epoch: int) -> list[Tensor]:
        size, seed = self._recipe.head.batch_size, mixed_seed(Draw.LEG, self._recipe.seed, 0)
        return shuffled_batches(len(self._train), size, seed=seed, epoch=epoch)
