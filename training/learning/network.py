"""The torch network: a residual backbone with torchvision's keys under a tanh head with two logits, and findings.

Takes tensors as ``preprocess`` returns them; normalisation is part of the network, so that no caller can forget it.
"""

from __future__ import annotations

import io
import pickle
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, TypeAlias

import torch
from monai.networks.nets.resnet import resnet18, resnet50
from torch import Tensor, nn

from training.errors import RecipeError
from training.recipe import NetworkRecipe

Learns: TypeAlias = Literal["last_block", "last_stage", "whole"]

_BUILDERS = {"resnet18": resnet18, "resnet50": resnet50}
_FEATURES = {"resnet18": 512, "resnet50": 2048}
_WHITE = 255.0
# torch's restricted unpickler interprets whatever bytes it is given, and stumbles in each of these ways.
_UNREADABLE = (
    OSError, RuntimeError, EOFError, pickle.UnpicklingError, LookupError, ValueError, TypeError, AttributeError,
    struct.error,
)  # fmt: skip


class TriageNetwork(nn.Module):
    """Report 002's network on one gray channel.

    ``backbone`` is MONAI's ResNet built so that all keys and shapes equal torchvision's (stride on the 3x3 convolution,
    as in v1.5), but for ``conv1``, which has one input channel, and ``fc``, which is gone. One input channel with the
    three channels' kernels summed answers exactly as gray copied to three channels does, at a third of the work,
    because all channels share one mean and deviation.
    """

    def __init__(self, recipe: NetworkRecipe) -> None:
        super().__init__()
        self.width = _FEATURES[recipe.architecture]
        self.backbone = _BUILDERS[recipe.architecture](
            spatial_dims=2,
            n_input_channels=1,
            shortcut_type="B",
            bias_downsample=False,
            conv1_t_size=7,
            conv1_t_stride=2,
            feed_forward=False,
        )
        self.head = nn.Sequential(
            nn.Linear(self.width, recipe.hidden),
            nn.Tanh(),
            nn.Dropout(recipe.dropout),
            nn.Linear(recipe.hidden, 2 + len(recipe.findings)),
        )
        self._mean, self._std = recipe.gray_mean, recipe.gray_std

    def feature_maps(self, film: Tensor) -> Tensor:
        """Return maps ``(n, c, h, w)`` before pooling; ``film`` is ``(n, 1, s, s)``, uint8 or float, 0 black to 255."""
        backbone = self.backbone
        normalised = (film.float() / _WHITE - self._mean) / self._std
        maps: Tensor = backbone.maxpool(backbone.act(backbone.bn1(backbone.conv1(normalised))))
        for stage in (backbone.layer1, backbone.layer2, backbone.layer3, backbone.layer4):
            maps = stage(maps)
        return maps

    def features(self, film: Tensor) -> Tensor:
        """Return pooled features ``(n, c)`` of films as ``feature_maps`` takes them."""
        return self.feature_maps(film).mean(dim=(2, 3))

    def forward(self, film: Tensor) -> Tensor:
        """Return logits ``(n, 2 + k)``: healthy and unhealthy (softmax), then one of each of k findings (sigmoid)."""
        logits: Tensor = self.head(self.features(film))
        return logits

    @property
    def last_block(self) -> nn.Module:
        """The final residual block, which report 002 fine-tunes: ``layer4.2`` in ResNet50."""
        return list(self.backbone.layer4.children())[-1]


def load_backbone(network: TriageNetwork, path: Path) -> None:
    """Load an ImageNet file with torchvision's keys into the backbone; ``fc`` is ignored, all else must fit.

    ``conv1.weight`` may have three input channels (they are summed) or one.

    Raises
    ------
    RecipeError
        If the file cannot be read, holds anything but tensors, or its keys or shapes differ.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except _UNREADABLE as error:
        raise RecipeError(f"cannot read the weights {path}: {type(error).__name__}") from error
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise RecipeError(f"{path} is not a state file: expected a dictionary of tensors with torchvision's keys")
    wanted = {key: value for key, value in state.items() if not key.startswith("fc.")}
    stem = wanted.get("conv1.weight")
    if stem is not None and stem.ndim == 4 and stem.shape[1] == 3:
        wanted["conv1.weight"] = stem.sum(dim=1, keepdim=True)
    try:
        network.backbone.load_state_dict(wanted, strict=True)
    except RuntimeError as error:
        detail = " ".join(str(error).split())[:200]
        raise RecipeError(f"{path} does not fit this network: {detail}") from error


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


def freeze_below(network: TriageNetwork, learns: Learns) -> None:
    """Leave only the head and the backbone's last block, its last stage, or all of it to learn."""
    backbone = network.backbone
    learning = {"last_block": network.last_block, "last_stage": backbone.layer4, "whole": backbone}[learns]
    for parameter in backbone.parameters():
        parameter.requires_grad_(False)
    for parameter in learning.parameters():
        parameter.requires_grad_(True)


def mean_state(states: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Return the uniform average of weights and batch statistics; counters are the first one's.

    Source: Wortsman et al., ICML 2022 ("model soups"); the networks must have come from one.
    """
    mean = dict(states[0])
    for name, tensor in mean.items():
        if tensor.is_floating_point():
            mean[name] = torch.stack([state[name].double() for state in states]).mean(dim=0).to(tensor.dtype)
    return mean


def enter_training(network: nn.Module) -> None:
    """Switch to training mode, but keep frozen layers in evaluation mode.

    Frozen batch normalisation in training mode would drift from the statistics that its weights were trained with.
    """
    network.train()
    for module in network.modules():
        own = list(module.parameters(recurse=False))
        if own and not any(parameter.requires_grad for parameter in own):
            module.eval()
