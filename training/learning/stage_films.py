"""The films of one stage of fine-tuning as a task: augmented batches of the train part, judged on the select part."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

import numpy as np
import torch
from torch import Tensor, nn

from training.datasets.labels import area_under_curve, findings_of, labels_of, mean_findings_auc, rows_of
from training.datasets.sample import Part, read_samples
from training.errors import RunError
from training.learning.augmentation import augment
from training.learning.loading import read_ahead
from training.learning.loss import Labels, triage_loss
from training.learning.randomness import Draw, mixed_seed, shuffled_batches
from training.learning.task import Judgement
from training.recipe import StageRecipe
from training.step import StepContext

_VALIDATION_BATCH = 64


class StageFilms:
    """Films at the stage's size. Batch order and augmentation are functions of seed, epoch, batch and rank."""

    def __init__(self, context: StepContext, stage: StageRecipe, seed: int) -> None:
        recipe = context.order.recipe
        table = read_samples(context.run.samples)
        self._context, self._stage, self._seed = context, stage, seed
        self._labels = Labels(
            unhealthy=torch.from_numpy(labels_of(table)),
            findings=torch.from_numpy(findings_of(table, recipe.network.findings)),
        )
        self._train = np.array(rows_of(table, Part.TRAIN, leave_out_disputed=recipe.data.leave_out_disputed))
        self._select = np.array(rows_of(table, Part.SELECT, leave_out_disputed=recipe.data.leave_out_disputed))
        if not self.batches_per_epoch:
            raise RunError(f"{len(self._train)} films in train are too few for a batch of two on each device")

    @cached_property
    def _films(self) -> np.memmap[tuple[int, ...], np.dtype[np.uint8]]:
        size = self._stage.size or self._context.order.recipe.preprocessing.size
        films: np.memmap[tuple[int, ...], np.dtype[np.uint8]] = np.load(
            self._context.run.tensors(size), mmap_mode="r", allow_pickle=False
        )
        return films

    @property
    def films_per_epoch(self) -> int:
        """Films that one epoch learns from, on all ranks together."""
        return sum(len(batch) for batch in self._shuffled(0))

    @property
    def batches_per_epoch(self) -> int:
        """Batches of one epoch."""
        return len(self._shuffled(0))

    def batches(self, epoch: int, first: int) -> Iterator[tuple[Tensor, Labels]]:
        """Yield augmented films ``(b, 1, s, s)`` float32 and their labels, from batch ``first`` of the epoch on."""
        device, ranks = self._context.device, self._context.ranks
        mine = [self._train[batch[ranks.rank :: ranks.size].numpy()] for batch in self._shuffled(epoch)[first:]]
        generator = torch.Generator(device)
        for number, films in enumerate(read_ahead(self._read, mine, device), start=first):
            generator.manual_seed(mixed_seed(Draw.AUGMENTATION, self._seed, epoch, number, ranks.rank))
            augmented = augment(films, self._context.order.recipe.augmentation, generator)
            labels = self._labels.rows(torch.from_numpy(mine[number - first])).to(device)
            yield augmented.contiguous(memory_format=torch.channels_last), labels

    def loss(self, outputs: Tensor, targets: Labels) -> Tensor:
        """Return the recipe's loss."""
        return triage_loss(outputs, targets, self._context.order.recipe.loss)

    def judge(self, network: nn.Module) -> Judgement:
        """Return AUCs on the select part, computed as the stage computes."""
        device = self._context.device
        blocks = np.array_split(self._select, max(1, len(self._select) // _VALIDATION_BATCH))
        with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=self._stage.bf16):
            logits = torch.cat([network(films).float().cpu() for films in read_ahead(self._read, blocks, device)])
        labels = self._labels.rows(torch.from_numpy(self._select))
        return Judgement(
            auc=area_under_curve(labels.unhealthy, logits), findings_auc=mean_findings_auc(labels.findings, logits)
        )

    def _read(self, rows: np.ndarray[tuple[int], np.dtype[np.int64]]) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(self._films[rows]))

    def _shuffled(self, epoch: int) -> list[Tensor]:
        ranks = self._context.ranks.size
        return shuffled_batches(len(self._train), self._stage.batch_size, seed=self._seed, epoch=epoch, ranks=ranks)
