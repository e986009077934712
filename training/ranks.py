"""Several processes that train one network, as ``torchrun`` starts them; one process alone is the case of one rank.

Rank 0 writes every file and decides; the others compute gradients beside it. Owns the process group; knows no recipe.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

Shared = TypeVar("Shared")

# Other ranks wait while rank 0 decodes all films, which takes hours for a large collection.
_PATIENCE = timedelta(days=7)


@dataclass(frozen=True, kw_only=True)
class Ranks:
    """The number of this process among ``size``; ``local`` is its number on this machine, which chooses its GPU."""

    rank: int = 0
    size: int = 1
    local: int = 0

    @property
    def leads(self) -> bool:
        """Whether this process writes files and speaks."""
        return self.rank == 0

    def share(self, value: Shared) -> Shared:
        """Return rank 0's value on every rank; the others' is ignored."""
        if self.size == 1:
            return value
        held = [value]
        dist.broadcast_object_list(held, src=0)
        return held[0]

    def total(self, value: Tensor) -> Tensor:
        """Return the sum of every rank's ``value``."""
        if self.size > 1:
            dist.all_reduce(value)
        return value

    def parallel(self, network: nn.Module) -> nn.Module:
        """Return ``network`` so that its gradients are the mean over ranks; all start from rank 0's weights."""
        return network if self.size == 1 else DistributedDataParallel(network)


ALONE = Ranks()


@contextmanager
def joined_ranks() -> Iterator[Ranks]:
    """Join the processes that ``torchrun`` started, if it did: gradients travel by NCCL on GPUs, by gloo on CPUs."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield ALONE
        return
    ranks = Ranks(rank=int(os.environ["RANK"]), size=size, local=int(os.environ["LOCAL_RANK"]))
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    dist.init_process_group(backend, timeout=_PATIENCE)
    try:
        yield ranks
    finally:
        dist.destroy_process_group()


def synchronised(network: nn.Module, ranks: Ranks) -> nn.Module:
    """Let batch statistics span all ranks where each has a GPU; on CPUs each rank keeps its own batch's.

    torch has no synchronised batch normalisation for CPUs. There rank 0's statistics are the ones that count.
    """
    is_on_gpus = next(network.parameters()).device.type == "cuda"
    if ranks.size == 1 or not is_on_gpus:
        return network
    converted: nn.Module = nn.SyncBatchNorm.convert_sync_batchnorm(network)  # type: ignore[no-untyped-call]  # torch
    return converted
