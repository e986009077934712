"""States as torchvision and Keras write them, with random values, and what those libraries compute from them.

Written from their documented names and layouts with torch's functions alone, so that it shares nothing with the
product's networks.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional

State = dict[str, Tensor]

_DENSE_LAYERS = (6, 12, 24, 16)
_GROWTH, _BOTTLENECK = 32, 128
_MOBILE_BLOCKS = (
    (32, 64, 1), (64, 128, 2), (128, 128, 1), (128, 256, 2), (256, 256, 1), (256, 512, 2), (512, 512, 1),
    (512, 512, 1), (512, 512, 1), (512, 512, 1), (512, 512, 1), (512, 1024, 2), (1024, 1024, 1),
)  # fmt: skip


def torchvision_densenet121(*, legacy: bool = False) -> State:
    """Return DenseNet121's 727 tensors; ``legacy`` has the names and no counters, as the file for download does."""
    generator = torch.Generator().manual_seed(3)
    state: State = {}
    for name, (below, width, side) in _dense_convolutions():
        state[f"{name}.weight"] = _kernel((width, below, side, side), generator)
    for name, width in _dense_norms():
        variables = ("weight", "bias", "running_mean", "running_var")
        for variable, tensor in zip(variables, _norm(width, generator), strict=True):
            state[f"{name}.{variable}"] = tensor
        if not legacy:
            state[f"{name}.num_batches_tracked"] = torch.tensor(7)
    state["classifier.weight"], state["classifier.bias"] = torch.zeros(1000, 1024), torch.zeros(1000)
    if not legacy:
        return state
    return {re.sub(r"(denselayer\d+\.(?:norm|conv))([12])", r"\1.\2", key): value for key, value in state.items()}


def densenet121_maps(state: State, pixels: Tensor) -> Tensor:
    """Return what torchvision's ``features`` and the ReLU above it make of ``pixels`` ``(n, 3, s, s)``."""
    maps = functional.conv2d(pixels, state["features.conv0.weight"], stride=2, padding=3)
    maps = functional.max_pool2d(_torch_norm_relu(state, "features.norm0", maps), 3, stride=2, padding=1)
    for block, layers in enumerate(_DENSE_LAYERS, start=1):
        for layer in range(1, layers + 1):
            name = f"features.denseblock{block}.denselayer{layer}"
            narrow = functional.conv2d(_torch_norm_relu(state, f"{name}.norm1", maps), state[f"{name}.conv1.weight"])
            narrow = _torch_norm_relu(state, f"{name}.norm2", narrow)
            maps = torch.cat([maps, functional.conv2d(narrow, state[f"{name}.conv2.weight"], padding=1)], dim=1)
        if block < len(_DENSE_LAYERS):
            name = f"features.transition{block}"
            maps = functional.conv2d(_torch_norm_relu(state, f"{name}.norm", maps), state[f"{name}.conv.weight"])
            maps = functional.avg_pool2d(maps, 2)
    return _torch_norm_relu(state, "features.norm5", maps)


def keras_mobilenet(*, depthwise: str = "kernel", suffix: str = "", prefix: str = "") -> State:
    """Return MobileNet's 135 variables and its classifier's two under Keras' names and layouts.

    Keras 3 calls a depthwise kernel ``kernel``; Keras 2 calls it ``depthwise_kernel`` and ends names in ``:0``.
    """
    generator = torch.Generator().manual_seed(5)
    state: State = {"conv1/kernel": _kernel((32, 3, 3, 3), generator).permute(2, 3, 1, 0)}
    layers = [("conv1", 32)]
    for number, (below, width, _) in enumerate(_MOBILE_BLOCKS, start=1):
        state[f"conv_dw_{number}/{depthwise}"] = _kernel((below, 1, 3, 3), generator).permute(2, 3, 0, 1)
        state[f"conv_pw_{number}/kernel"] = _kernel((width, below, 1, 1), generator).permute(2, 3, 1, 0)
        layers += [(f"conv_dw_{number}", below), (f"conv_pw_{number}", width)]
    for name, width in layers:
        variables = ("gamma", "beta", "moving_mean", "moving_variance")
        for variable, tensor in zip(variables, _norm(width, generator), strict=True):
            state[f"{name}_bn/{variable}"] = tensor
    state["conv_preds/kernel"], state["conv_preds/bias"] = torch.zeros(1, 1, 1024, 1000), torch.zeros(1000)
    return {f"{prefix}{key}{suffix}": value.contiguous() for key, value in state.items()}


def mobilenet_maps(state: State, pixels: Tensor) -> Tensor:
    """Return the maps that Keras 3 computes of ``pixels`` ``(n, 3, s, s)``, ``(n, 1024, h, w)``."""
    maps = _keras_layer(state, "conv1", _padded_as_same(pixels, stride=2), stride=2)
    for number, (_, _, stride) in enumerate(_MOBILE_BLOCKS, start=1):
        # Keras pads by a layer of its own at stride 2, right and bottom, and convolves "valid".
        padded = _padded_as_same(maps, stride=1) if stride == 1 else functional.pad(maps, (0, 1, 0, 1))
        maps = _keras_layer(state, f"conv_dw_{number}", padded, stride=stride)
        maps = _keras_layer(state, f"conv_pw_{number}", maps, stride=1)
    return maps


def doubled(state: State) -> State:
    """Return the state at double precision, so that only mistakes make a difference."""
    return {key: value.double() if value.is_floating_point() else value for key, value in state.items()}


def _dense_convolutions() -> Iterator[tuple[str, tuple[int, int, int]]]:
    yield "features.conv0", (3, 64, 7)
    width = 64
    for block, layers in enumerate(_DENSE_LAYERS, start=1):
        for layer in range(1, layers + 1):
            name = f"features.denseblock{block}.denselayer{layer}"
            yield f"{name}.conv1", (width, _BOTTLENECK, 1)
            yield f"{name}.conv2", (_BOTTLENECK, _GROWTH, 3)
            width += _GROWTH
        if block < len(_DENSE_LAYERS):
            yield f"features.transition{block}.conv", (width, width // 2, 1)
            width //= 2


def _dense_norms() -> Iterator[tuple[str, int]]:
    convolutions = list(_dense_convolutions())
    yield "features.norm0", 64
    for name, (below, _, _) in convolutions[1:]:
        yield name.replace("conv", "norm"), below
    yield "features.norm5", 1024


def _torch_norm_relu(state: State, name: str, maps: Tensor) -> Tensor:
    mean, variance = state[f"{name}.running_mean"], state[f"{name}.running_var"]
    return functional.relu(_normalised(maps, mean, variance, 1e-5, state[f"{name}.weight"], state[f"{name}.bias"]))


def _keras_layer(state: State, name: str, maps: Tensor, *, stride: int) -> Tensor:
    kernel = state[f"{name}/kernel"]
    is_depthwise = name.startswith("conv_dw")
    weight = kernel.permute(2, 3, 0, 1) if is_depthwise else kernel.permute(3, 2, 0, 1)
    convolved = functional.conv2d(maps, weight, stride=stride, groups=maps.shape[1] if is_depthwise else 1)
    mean, variance, gamma, beta = (
        state[f"{name}_bn/{variable}"] for variable in ("moving_mean", "moving_variance", "gamma", "beta")
    )
    return _normalised(convolved, mean, variance, 1e-3, gamma, beta).clamp(0, 6)


def _normalised(maps: Tensor, mean: Tensor, variance: Tensor, epsilon: float, gain: Tensor, offset: Tensor) -> Tensor:
    slope = (gain / torch.sqrt(variance + epsilon)).view(1, -1, 1, 1)
    return (maps - mean.view(1, -1, 1, 1)) * slope + offset.view(1, -1, 1, 1)


def _padded_as_same(maps: Tensor, *, stride: int) -> Tensor:
    """Pad for a 3x3 kernel as TensorFlow's "same" does: what is odd goes to the right and the bottom."""
    edges: list[int] = []
    for side in reversed(maps.shape[-2:]):
        total = max((-(-side // stride) - 1) * stride + 3 - side, 0)
        edges += [total // 2, total - total // 2]
    return functional.pad(maps, edges)


def _kernel(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    return torch.randn(shape, generator=generator) * math.sqrt(2 / math.prod(shape[1:]))


def _norm(width: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return gain, offset, mean and variance that keep a signal alive through many layers."""
    gain, variance = (0.5 + torch.rand(width, generator=generator) for _ in range(2))
    offset, mean = (0.2 * torch.randn(width, generator=generator) for _ in range(2))
    return gain, offset, mean, variance
