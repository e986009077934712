"""MobileNet, the first version at full width (Howard et al., arXiv:1704.04861), as Keras builds and stores it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import chain

from torch import Tensor, nn
from torch.nn.functional import pad, relu6

from training.networks.backbone import Backbone

_STEM_WIDTH = 32
# Width of each depthwise separable block, and its stride.
_BLOCKS = (
    (64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2),
    (512, 1), (512, 1), (512, 1), (512, 1), (512, 1), (1024, 2), (1024, 1),
)  # fmt: skip
# Blocks, counted from 1, whose maps have one resolution; the stem's is that of the first.
_STAGES = (range(1, 2), range(2, 4), range(4, 6), range(6, 12), range(12, 14))
_KERAS_VARIABLE = re.compile(r"^(?:.*/)?(?P<layer>conv[^/]*)/(?P<variable>[a-z_]+)(?::0)?$")
_VARIABLES = {
    "kernel": "weight",
    "depthwise_kernel": "weight",
    "gamma": "weight",
    "beta": "bias",
    "bias": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}
_CLASSIFIER = "conv_preds."


class MobileBackbone(Backbone):
    """28 layers without the last: a convolution, then 13 depthwise and pointwise ones, each with its normalisation.

    Modules have the names of Keras' layers: ``conv1``, ``conv_dw_1``, ``conv_pw_1``, and ``…_bn``. Paddings, ReLU6 and
    the normalisation's epsilon are Keras' too, so that its weights answer here as they do there.
    """

    stem = "conv1.weight"
    channels = _BLOCKS[-1][0]
    least_size = 31

    def __init__(self, *, channels_in: int) -> None:
        super().__init__()
        self._add("conv1", nn.Conv2d(channels_in, _STEM_WIDTH, kernel_size=3, stride=2, bias=False))
        below = _STEM_WIDTH
        for number, (width, stride) in enumerate(_BLOCKS, start=1):
            # At stride 2 `maps` pads by itself: Keras does it at the right and at the bottom only.
            depthwise = nn.Conv2d(below, below, 3, stride, padding=2 - stride, groups=below, bias=False)
            self._add(f"conv_dw_{number}", depthwise)
            self._add(f"conv_pw_{number}", nn.Conv2d(below, width, kernel_size=1, bias=False))
            below = width

    @property
    def stages(self) -> tuple[tuple[nn.Module, ...], ...]:
        """The blocks of each resolution, the stem with the first."""
        stem = (self.get_submodule("conv1"), self.get_submodule("conv1_bn"))
        first, *others = (tuple(chain.from_iterable(map(self._block, numbers))) for numbers in _STAGES)
        return (stem + first, *others)

    @property
    def last_block(self) -> tuple[nn.Module, ...]:
        """The last depthwise and the last pointwise convolution with their normalisations."""
        return self._block(len(_BLOCKS))

    def maps(self, normalised: Tensor) -> Tensor:
        """Return maps ``(n, 1024, h, w)`` before pooling."""
        rows, columns = normalised.shape[-2:]
        maps = self._layer("conv1", pad(normalised, (columns % 2, 1, rows % 2, 1)))
        for number, (_, stride) in enumerate(_BLOCKS, start=1):
            maps = self._layer(f"conv_dw_{number}", maps if stride == 1 else pad(maps, (0, 1, 0, 1)))
            maps = self._layer(f"conv_pw_{number}", maps)
        return maps

    def translated(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the state without ``conv_preds``; where keys are Keras' variables, kernels are in its layouts.

        Those are ``(rows, columns, in, out)``, and ``(rows, columns, in, 1)`` of depthwise convolutions.
        """
        found = dict(_translated(key, value) for key, value in state.items())
        return {key: value for key, value in found.items() if not key.startswith(_CLASSIFIER)}

    def _add(self, name: str, convolution: nn.Conv2d) -> None:
        self.add_module(name, convolution)
        # Keras' momentum, .01 in torch's terms, would carry the start's statistics through a run of a hundred batches.
        self.add_module(f"{name}_bn", nn.BatchNorm2d(convolution.out_channels, eps=1e-3))

    def _block(self, number: int) -> tuple[nn.Module, ...]:
        convolutions = (f"conv_dw_{number}", f"conv_pw_{number}")
        return tuple(self.get_submodule(f"{name}{end}") for name in convolutions for end in ("", "_bn"))

    def _layer(self, name: str, maps: Tensor) -> Tensor:
        normalise = self.get_submodule(f"{name}_bn")
        return relu6(normalise(self.get_submodule(name)(maps)))


def _translated(key: str, value: Tensor) -> tuple[str, Tensor]:
    match = _KERAS_VARIABLE.match(key)
    if match is None or match["variable"] not in _VARIABLES:
        return key, value
    layer, variable = match["layer"], match["variable"]
    if value.ndim == 4:
        value = value.permute(2, 3, 0, 1) if layer.startswith("conv_dw_") else value.permute(3, 2, 0, 1)
    return f"{layer}.{_VARIABLES[variable]}", value.contiguous()
