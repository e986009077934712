"""States of networks: written so that any machine reads them, and averaged."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor


def save_state(state: Mapping[str, Tensor], path: Path) -> None:
    """Write tensors as CPU tensors, so that a machine without an accelerator reads them.

    Raises
    ------
    OSError
        If the disk is full, say; torch's own writer would make a RuntimeError of it.
    """
    content = io.BytesIO()
    torch.save({name: tensor.cpu() for name, tensor in state.items()}, content)
    path.write_bytes(content.getbuffer())


def mean_state(states: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Return the uniform average of weights and batch statistics; counters are the first one's.

    Source: Wortsman et al., ICML 2022 ("model soups"); the networks must have come from one.
    """
    mean = dict(states[0])
    for name, tensor in mean.items():
        if tensor.is_floating_point():
            mean[name] = torch.stack([state[name].double() for state in states]).mean(dim=0).to(tensor.dtype)
    return mean
