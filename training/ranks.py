"""Several processes that train one network, as ``torchrun`` starts them; one process alone is the case of one rank.

Rank 0 writes every file and decides; the others compute gradients beside it. Owns the process group; knows no recipe.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from threading import Event
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from training.errors import LeaderFailed, RunError, TrainingError

Shared = TypeVar("Shared")

# Other ranks wait while rank 0 decodes all films, which takes hours for a large collection.
_PATIENCE = timedelta(days=7)
_FAILED = "the first process has failed"


@dataclass(frozen=True, kw_only=True)
class Ranks:
    """The number of this process among ``size``; ``local`` is its number on this machine, which chooses its GPU."""

    rank: int = 0
    size: int = 1
    local: int = 0
    _computing: Event = field(default_factory=Event, repr=False, compare=False)

    @property
    def leads(self) -> bool:
        """Whether this process writes files and speaks."""
        return self.rank == 0

    def keyed(self, key: str) -> str:
        """Return ``key`` as that of this many ranks, because another number of them trains another network."""
        return key if self.size == 1 else f"{key} on {self.size} ranks"

    def share(self, value: Shared) -> Shared:
        """Return rank 0's value on every rank; the others' is ignored.

        Raises
        ------
        LeaderFailed
            If rank 0 has failed and said so.
        RunError
            If a rank is gone.
        """
        if self.size == 1:
            return value
        held = [value]
        with self._all_there():
            dist.broadcast_object_list(held, src=0)
        if isinstance(held[0], str) and held[0] == _FAILED:
            raise LeaderFailed(_FAILED)
        return held[0]

    def total(self, value: Tensor) -> Tensor:
        """Return the sum of every rank's ``value``.

        Raises
        ------
        RunError
            If a rank is gone.
        """
        if self.size > 1:
            with self._all_there():
                dist.all_reduce(value)
        return value

    @contextmanager
    def together(self, word: str) -> Iterator[str]:
        """Share ``word`` and compute side by side until the block ends; then the others wait for the next word."""
        shared = self.share(word)
        self._computing.set()
        yield shared
        self._computing.clear()

    def send_home(self) -> None:
        """Tell ranks that wait for rank 0 that it has failed.

        Ranks in the midst of computing are not told: they wait for a gradient, not for a word, and a word would wait
        for them. They notice when rank 0 is gone.
        """
        if self._computing.is_set():
            return
        # Whoever is no longer there to hear it has left already.
        with suppress(RuntimeError):
            dist.broadcast_object_list([_FAILED], src=0)

    @contextmanager
    def _all_there(self) -> Iterator[None]:
        try:
            yield
        except RuntimeError as error:
            gone = "another process" if self.leads else "the first process, or another one,"
            raise RunError(f"{gone} of the {self.size} that train together is gone") from error

    def parallel(self, network: nn.Module) -> nn.Module:
        """Return ``network`` so that its gradients are the mean over ranks; all start from rank 0's weights."""
        return network if self.size == 1 else DistributedDataParallel(network)


ALONE = Ranks()


@contextmanager
def joined_ranks() -> Iterator[Ranks]:
    """Join the processes that ``torchrun`` started, if it did: gradients travel by NCCL on GPUs, by gloo on CPUs.

    Where rank 0 leaves by one of our errors, the others that wait for it are sent home.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield ALONE
        return
    ranks = Ranks(rank=int(os.environ["RANK"]), size=size, local=int(os.environ["LOCAL_RANK"]))
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    dist.init_process_group(backend, timeout=_PATIENCE)
    try:
        yield ranks
    except TrainingError:
        if ranks.leads:
            ranks.send_home()
        raise
    finally:
        # A network in a reference cycle holds the group until it is collected; where the interpreter's end does that,
        # the process may abort after its work is done (6 of 39 runs of two ranks; with this none of 19).
        gc.collect()
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
