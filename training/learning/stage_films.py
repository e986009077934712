"""The films of one stage of fine-tuning as a task: augmented batches of the train part, judged on the select part."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

import numpy as np
import torch
from torch import Tensor, nn

from training.errors import RunError
from training.learning.augmentation import augment
from training.learning.labelled_films import LabelledFilms, Rows
from training.learning.loading import read_ahead
from training.learning.loss import Labels
from training.learning.randomness import Draw, mixed_seed, shuffled_batches
from training.learning.task import Judgement
from training.recipe import StageRecipe
from training.step import StepContext

_VALIDATION_BATCH = 64


class StageFilms:
    """Films at the stage's size. Batch order and augmentation are functions of seed, epoch, batch and rank."""

    def __init__(self, context: StepContext, stage: StageRecipe, seed: int) -> None:
        self._context, self._stage, self._seed = context, stage, seed
        self._labelled = LabelledFilms(context)
        if not self.batches_per_epoch:
            raise RunError(f"{len(self._labelled.train)} films in train are too few for a batch of two on each device")

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

    def batches(self, epoch: int, first: int) -> Iterator[tuple[tuple[Tensor, ...], Labels]]:
        """Yield augmented films ``(b, 1, s, s)`` float32, age and sex where asked for, and their labels."""
        device, ranks = self._context.device, self._context.ranks
        mine = [
            self._labelled.train[batch[ranks.rank :: ranks.size].numpy()] for batch in self._shuffled(epoch)[first:]
        ]
        generator = torch.Generator(device)
        for number, films in enumerate(read_ahead(self._read, mine, device), start=first):
            rows = mine[number - first]
            generator.manual_seed(mixed_seed(Draw.AUGMENTATION, self._seed, epoch, number, ranks.rank))
            augmented = augment(films, self._context.order.recipe.augmentation, generator)
            inputs = (augmented.contiguous(memory_format=torch.channels_last), *self._labelled.beside(rows))
            yield inputs, self._labelled.labels_at(rows)

    def loss(self, outputs: Tensor, targets: Labels) -> Tensor:
        """Return the recipe's loss."""
        return self._labelled.loss(outputs, targets)

    def accuracy(self, outputs: Tensor, targets: Labels) -> Tensor:
        """Return the share of right answers at probability .5."""
        return self._labelled.accuracy(outputs, targets)

    def judge(self, network: nn.Module) -> Judgement:
        """Judge on the select part, computed as the stage computes."""
        device, select = self._context.device, self._labelled.select
        blocks = np.array_split(select, max(1, len(select) // _VALIDATION_BATCH))
        with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=self._stage.bf16):
            films = read_ahead(self._read, blocks, device)
            answers = [
                network(film, *self._labelled.beside(rows)).float() for film, rows in zip(films, blocks, strict=True)
            ]
        return self._labelled.judgement(torch.cat(answers))

    def _read(self, rows: Rows) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(self._films[rows]))

    def _shuffled(self, epoch: int) -> list[Tensor]:
        return shuffled_batches(
            len(self._labelled.train),
            self._stage.batch_size,
            seed=self._seed,
            epoch=epoch,
            ranks=self._context.ranks.size,
            at_most=self._stage.batches_per_epoch,
        )
