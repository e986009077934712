"""Residual networks with torchvision's keys and shapes (He et al., CVPR 2016; stride on the 3x3 convolution, v1.5)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from monai.networks.nets.resnet import ResNet, ResNetBlock, ResNetBottleneck
from torch import Tensor, nn

from training.networks.backbone import Backbone

_BLOCKS: dict[str, tuple[Any, list[int]]] = {
    "resnet18": (ResNetBlock, [2, 2, 2, 2]),
    "resnet50": (ResNetBottleneck, [3, 4, 6, 3]),
}
_WIDTHS = [64, 128, 256, 512]


class ResidualBackbone(ResNet, Backbone):
    """MONAI's ResNet without ``fc``; other keys and shapes are torchvision's, but for the channels of ``conv1``."""

    stem = "conv1.weight"
    least_size = 1

    def __init__(self, architecture: str, *, channels_in: int) -> None:
        block, layers = _BLOCKS[architecture]
        super().__init__(
            block=block,
            layers=layers,
            block_inplanes=_WIDTHS,
            spatial_dims=2,
            n_input_channels=channels_in,
            shortcut_type="B",
            bias_downsample=False,
            conv1_t_size=7,
            conv1_t_stride=2,
            feed_forward=False,
        )
        self.channels = _WIDTHS[-1] * block.expansion

    @property
    def stages(self) -> tuple[tuple[nn.Module, ...], ...]:
        """Stem, then the four stages."""
        return ((self.conv1, self.bn1), (self.layer1,), (self.layer2,), (self.layer3,), (self.layer4,))

    @property
    def last_block(self) -> tuple[nn.Module, ...]:
        """The final residual block, which report 002 fine-tunes: ``layer4.2`` in ResNet50."""
        return (self.layer4[-1],)

    def maps(self, normalised: Tensor) -> Tensor:
        """Return maps ``(n, c, h, w)`` before pooling."""
        maps: Tensor = self.maxpool(self.act(self.bn1(self.conv1(normalised))))
        for stage in (self.layer1, self.layer2, self.layer3, self.layer4):
            maps = stage(maps)
        return maps

    def translated(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return torchvision's state without ``fc``; the keys are the same."""
        return {key: value for key, value in state.items() if not key.startswith("fc.")}
