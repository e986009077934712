"""Every random number of a training is a function of the recipe's seed and of where in the run it is drawn.

Nothing random has to be saved: a run that was killed and resumed draws what it would have drawn.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np
import torch
from torch import Tensor


class Draw(IntEnum):
    """What a random number is for. Two purposes at one place of a run must not share their numbers."""

    LEG = 1
    ORDER = 2
    AUGMENTATION = 3
    DROPOUT = 4


def mixed_seed(draw: Draw, *places: int) -> int:
    """Return one seed for a purpose and a place such as (seed, epoch, batch, rank); others get unrelated ones.

    The number of places is part of it, because numpy's ``SeedSequence`` takes (7, 3) and (7, 3, 0) for the same.
    """
    return int(np.random.SeedSequence([draw, len(places), *places]).generate_state(1, np.uint32)[0])


def shuffled_batches(
    count: int, batch_size: int, *, seed: int, epoch: int, ranks: int = 1, at_most: int | None = None
) -> list[Tensor]:
    """Return index batches of one epoch, the first ``at_most`` of them; what they hold depends on seed and epoch alone.

    A last batch too small to give each of ``ranks`` processes two films is left out: batch normalisation cannot learn
    from a single film.
    """
    generator = torch.Generator().manual_seed(mixed_seed(Draw.ORDER, seed, epoch))
    order = torch.randperm(count, generator=generator)
    return [batch for batch in torch.split(order, batch_size)[:at_most] if len(batch) >= 2 * ranks]
