"""Films without labels as a task: the gradients of a whole film are predicted from what is left of it under a mask."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d, interpolate, mse_loss

from training.learning.augmentation import augment
from training.learning.gradient_targets import (
    BLOCK_DIMENSIONS,
    PATCH_DIMENSIONS,
    PATCHES,
    block_gradients,
    cell_histograms,
    patch_gradients,
)
from training.learning.loading import read_ahead
from training.learning.randomness import Draw, mixed_seed, shuffled_batches
from training.networks.network import TriageNetwork
from training.ranks import Ranks
from training.recipe import PretrainRecipe

Targets = tuple[Tensor, Tensor]

_MASK_BLOCKS = 8
_WHITE = 255.0
# Enough for a mean and a deviation of each target.
_FILMS_TO_SCALE_BY = 2048
_SCALE_BATCH = 128
_LEAST_DEVIATION = 1e-4


class GradientPredictor(nn.Module):
    """A triage network's backbone under two linear readings: of its pooled features, and of its map on 4 x 4 patches.

    Linear, so that what they read is in the features themselves, where a small head will look for it later.
    """

    def __init__(self, network: TriageNetwork) -> None:
        super().__init__()
        self.network = network
        self.whole = nn.Linear(network.backbone.channels, BLOCK_DIMENSIONS)
        self.local = nn.Conv2d(network.backbone.channels, PATCH_DIMENSIONS, 1)
        # The pretraining has no use for the head; a parameter without gradient would stop distributed training.
        for parameter in network.head.parameters():
            parameter.requires_grad_(False)

    def forward(self, film: Tensor) -> Targets:
        """Return both predictions, ``(n, 1764)`` and ``(n, 144, 4, 4)``, for films ``(n, 1, s, s)`` in 0..255."""
        maps = self.network.feature_maps(film)
        return self.whole(maps.mean(dim=(2, 3))), self.local(adaptive_avg_pool2d(maps, PATCHES))


class MaskedGradients:
    """Batches of masked films with their targets; ``films`` is ``(n, 1, s, s)`` uint8, as a memory map if need be."""

    def __init__(
        self,
        films: NDArray[np.uint8],
        recipe: PretrainRecipe,
        *,
        gray_mean: float,
        seed: int,
        ranks: Ranks,
        device: torch.device,
    ) -> None:
        self._films, self._recipe, self._seed, self._ranks, self._device = films, recipe, seed, ranks, device
        # What is hidden looks like nothing to the network: normalisation `gray` makes 0 of it, the others about 0.
        self._gray = gray_mean * _WHITE
        self._scales = self._measured_scales()

    @property
    def films_per_epoch(self) -> int:
        """Films that one epoch learns from, on all ranks together."""
        return sum(len(batch) for batch in self._shuffled(0))

    @property
    def batches_per_epoch(self) -> int:
        """Batches of one epoch."""
        return len(self._shuffled(0))

    def batches(self, epoch: int, first: int) -> Iterator[tuple[tuple[Tensor], Targets]]:
        """Yield masked films ``(b, 1, s, s)`` float32 and the standardised gradients of the whole films."""
        ranks = self._ranks
        mine = [batch[ranks.rank :: ranks.size] for batch in self._shuffled(epoch)[first:]]
        generator = torch.Generator(self._device)
        for number, films in enumerate(read_ahead(self._read, mine, self._device), start=first):
            generator.manual_seed(mixed_seed(Draw.AUGMENTATION, self._seed, epoch, number, ranks.rank))
            augmented = augment(films, self._recipe.augmentation, generator)
            targets = self._targets(augmented)
            masked = self._masked(augmented, generator).contiguous(memory_format=torch.channels_last)
            yield (masked,), targets

    def loss(self, outputs: Targets, targets: Targets) -> Tensor:
        """Return the sum of both mean squared errors."""
        return mse_loss(outputs[0].float(), targets[0]) + mse_loss(outputs[1].float(), targets[1])

    def accuracy(self, outputs: Targets, targets: Targets) -> None:
        """No answer is right or wrong."""

    def judge(self, network: nn.Module) -> None:
        """No labels, no judgement: the last epoch is kept."""

    def _masked(self, films: Tensor, generator: torch.Generator) -> Tensor:
        shape = (len(films), 1, _MASK_BLOCKS, _MASK_BLOCKS)
        share = torch.rand((len(films), 1, 1, 1), generator=generator, device=films.device) * self._recipe.masked
        hidden = (torch.rand(shape, generator=generator, device=films.device) < share).float()
        return torch.where(interpolate(hidden, size=films.shape[-2:], mode="nearest") > 0, self._gray, films)

    def _targets(self, films: Tensor) -> Targets:
        cells = cell_histograms(films)
        (whole_mean, whole_deviation), (local_mean, local_deviation) = self._scales
        whole = (block_gradients(cells) - whole_mean) / whole_deviation
        return whole, (patch_gradients(cells) - local_mean) / local_deviation

    def _measured_scales(self) -> tuple[Targets, Targets]:
        rows = torch.randperm(len(self._films), generator=torch.Generator().manual_seed(self._seed))
        found = [
            cell_histograms(self._read(block).to(self._device))
            for block in torch.split(rows[:_FILMS_TO_SCALE_BY], _SCALE_BATCH)
        ]
        cells = torch.cat(found)
        return _scale(block_gradients(cells)), _scale(patch_gradients(cells))

    def _read(self, rows: Tensor) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(self._films[rows.numpy()]))

    def _shuffled(self, epoch: int) -> list[Tensor]:
        return shuffled_batches(
            len(self._films),
            self._recipe.batch_size,
            seed=self._seed,
            epoch=epoch,
            ranks=self._ranks.size,
            at_most=self._recipe.batches_per_epoch,
        )


def _scale(values: Tensor) -> Targets:
    deviation, mean = torch.std_mean(values, dim=0)
    return mean, deviation.clamp_min(_LEAST_DEVIATION)
