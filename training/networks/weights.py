"""Weights from files of others: their keys and layouts, held against the network before anything is taken."""

from __future__ import annotations

import pickle
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from training.errors import RecipeError
from training.networks.network import TriageNetwork

# torch's restricted unpickler interprets whatever bytes it is given, and stumbles in each of these ways.
_UNREADABLE = (
    OSError, RuntimeError, EOFError, pickle.UnpicklingError, LookupError, ValueError, TypeError, AttributeError,
    struct.error,
)  # fmt: skip
_COUNTER = "num_batches_tracked"
_NAMED_KEYS = 3
# A key of each, the more telling first: a bottleneck has a third convolution.
_MARKS = {
    "conv_dw_1": "mobilenet",
    "features.denseblock1": "densenet121",
    "layer1.0.conv3": "resnet50",
    "layer1.0.conv1": "resnet18",
    "blocks.0.conv": "convolutional",
}


def load_backbone(network: TriageNetwork, path: Path) -> None:
    """Load a file with the keys that ``docs/training.md`` maps into the backbone; its classifier is ignored.

    All else must be there and fit, but for the counters of batches, which old files do not have. The first kernel may
    have three input channels where the network has one; they are summed, which is exact for gray copied to three.

    Raises
    ------
    RecipeError
        If the file cannot be read, holds anything but finite tensors, or its keys or shapes differ.
    """
    architecture, backbone = network.recipe.architecture, network.backbone
    given = _read(path)
    state, wanted = backbone.translated(given), backbone.state_dict()
    stem = state.get(backbone.stem)
    if stem is not None and stem.shape[1:2] == (3,) and wanted[backbone.stem].shape[1] == 1:
        state[backbone.stem] = stem.sum(dim=1, keepdim=True, dtype=torch.float64)
    faults = _faults(state, wanted)
    if faults:
        found = next((name for mark, name in _MARKS.items() if any(mark in key for key in given)), architecture)
        hint = [] if found == architecture else [f"it looks like {found} or a relative"]
        raise RecipeError(f"{path} does not fit the network '{architecture}': {'; '.join(hint + faults)}")
    backbone.load_state_dict(wanted | state)


def _read(path: Path) -> dict[str, Tensor]:
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except _UNREADABLE as error:
        raise RecipeError(f"cannot read the weights {path}: {type(error).__name__}") from error
    if not isinstance(state, dict):
        raise RecipeError(f"{path} is not a state file: expected a dictionary of tensors, found {type(state).__name__}")
    others = [str(key) for key, value in state.items() if not isinstance(key, str) or not isinstance(value, Tensor)]
    if others:
        raise RecipeError(
            f"{path} is not a state file: expected tensors by name and nothing else, found {_named(others)}"
        )
    # Sparse or quantised tensors, and those of a shape without numbers, answer to few questions.
    unusual = [key for key, value in state.items() if value.layout != torch.strided or value.is_meta]
    if unusual:
        raise RecipeError(f"{path} holds other than plain tensors: {_named(unusual)}")
    # In the network's own float32, in which a larger number of float64 would be infinite.
    broken = [key for key, value in state.items() if value.is_floating_point() and not value.float().isfinite().all()]
    if broken:
        raise RecipeError(f"{path} holds NaN or infinity: {_named(broken)}")
    return state


def _faults(state: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> list[str]:
    """Return what ``state`` lacks, has too much, or has otherwise."""
    missing = [key for key in wanted if key not in state and not key.endswith(_COUNTER)]
    unknown = [key for key in state if key not in wanted]
    others = [
        f"{key} is {_form(state[key])}, not {_form(tensor)}"
        for key, tensor in wanted.items()
        if key in state and _form(state[key]) != _form(tensor)
    ]
    faults = {"it lacks": missing, "it has the unknown": unknown, "it differs in:": others}
    return [f"{verb} {_named(keys)}" for verb, keys in faults.items() if keys]


def _form(tensor: Tensor) -> str:
    # Fewer digits are taken as they are; whole numbers are codes of a quantised file, and mean something else.
    return f"{'floats' if tensor.is_floating_point() else 'integers'} {tuple(tensor.shape)}"


def _named(keys: Sequence[str]) -> str:
    rest = len(keys) - _NAMED_KEYS
    return ", ".join(keys[:_NAMED_KEYS]) + (f" and {rest} more" if rest > 0 else "")
