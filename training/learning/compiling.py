"""``torch.compile`` where the machine can, and the plain network where it cannot."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import torch
from torch import nn


def compiled(network: nn.Module, *, say: Callable[[str], None]) -> nn.Module:
    """Return a compiled form that shares the network's parameters, or the network itself where no compiler works."""
    device = next(network.parameters()).device
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            # Pointwise, because a matrix product alone is a library call that compiles nothing.
            torch.compile(nn.Sequential(nn.Tanh(), nn.Softplus()))(torch.zeros(8, device=device))
    except RuntimeError as error:
        # Inductor needs a C++ compiler on CPUs and Triton on GPUs; every way of lacking one is a RuntimeError.
        say(f"  compile = true has no effect: torch finds no working compiler ({type(error).__name__})")
        return network
    found = torch.compile(network)
    assert isinstance(found, nn.Module)
    return found
