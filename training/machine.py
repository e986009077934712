"""The machine a training runs on: its device, its threads, and the terminal it may speak to."""

from __future__ import annotations

import torch
from rich.console import Console

from training.errors import RecipeError
from training.ranks import Ranks


def chosen_device(name: str, ranks: Ranks) -> torch.device:
    """Return the torch device; ``auto`` is this rank's own GPU where torch finds one, else the CPU.

    Raises
    ------
    RecipeError
        If torch cannot use it.
    """
    if name == "auto":
        name = f"cuda:{ranks.local}" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise RecipeError(f"torch cannot use the device '{name}': {str(error).splitlines()[0]}") from error
    if device.type == "cuda":
        # NCCL and SyncBatchNorm look at the current device, not at that of the tensors.
        torch.cuda.set_device(device)
    return device


def use_threads(count: int) -> None:
    """Let torch compute on ``count`` threads; 0 leaves it its choice."""
    if count:
        torch.set_num_threads(count)


def console_of(ranks: Ranks) -> Console:
    """Return where this process prints; only one of several ranks does."""
    return Console(quiet=not ranks.leads)
