"""DenseNet121 (Huang et al., CVPR 2017), with a map from torchvision's keys to MONAI's."""

from __future__ import annotations

import re
from collections.abc import Mapping

from monai.networks.nets.densenet import DenseNet121
from torch import Tensor, nn
from torch.nn.functional import relu

from training.networks.backbone import Backbone

# torchvision wrote `norm.1` before 2018 and `norm1` since, and its files for download have the older form.
_DENSE_LAYER = re.compile(r"^(features\.denseblock\d+\.denselayer\d+)\.(norm|conv)\.?([12])\.")
_STAGES = (
    ("conv0", "norm0"),
    ("denseblock1", "transition1"),
    ("denseblock2", "transition2"),
    ("denseblock3", "transition3"),
    ("denseblock4", "norm5"),
)


class DenseBackbone(DenseNet121, Backbone):
    """MONAI's DenseNet121 without its classifier; the maps are those after the last normalisation and ReLU."""

    stem = "features.conv0.weight"
    channels = 1024
    least_size = 29

    def __init__(self, *, channels_in: int) -> None:
        super().__init__(spatial_dims=2, in_channels=channels_in, out_channels=1)
        del self.class_layers

    @property
    def stages(self) -> tuple[tuple[nn.Module, ...], ...]:
        """Stem, then the four dense blocks, each with what follows it."""
        return tuple(tuple(self.features.get_submodule(name) for name in names) for names in _STAGES)

    @property
    def last_block(self) -> tuple[nn.Module, ...]:
        """The last dense layer and the normalisation above it."""
        return (self.features.get_submodule("denseblock4.denselayer16"), self.features.get_submodule("norm5"))

    def maps(self, normalised: Tensor) -> Tensor:
        """Return maps ``(n, 1024, h, w)`` before pooling."""
        return relu(self.features(normalised))

    def translated(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return torchvision's state, of either form, without ``classifier``."""
        return {
            _DENSE_LAYER.sub(r"\1.layers.\2\3.", key): value
            for key, value in state.items()
            if not key.startswith("classifier.")
        }
