"""Every random number of a training is a function of the recipe's seed and of where in the run it is drawn.

Nothing random has to be saved: a run that was killed and resumed draws what it would have drawn.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def mixed_seed(*places: int) -> int:
    """Return one seed for a place such as (seed, member, stage, epoch, batch); other places get unrelated ones."""
    return int(np.random.SeedSequence(places).generate_state(1, np.uint32)[0])


def shuffled_batches(count: int, batch_size: int, *, seed: int, epoch: int, ranks: int = 1) -> list[Tensor]:
    """Return index batches of one epoch; depends on seed and epoch alone.

    A last batch too small to give each of ``ranks`` processes two films is left out: batch normalisation cannot learn
    from a single film.
    """
    generator = torch.Generator().manual_seed(mixed_seed(seed, epoch))
    order = torch.randperm(count, generator=generator)
    return [batch for batch in torch.split(order, batch_size) if len(batch) >= 2 * ranks]
