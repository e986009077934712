"""A plain row of convolutions, as reports 000, 001 and 003 build theirs."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from itertools import pairwise

from torch import Tensor, nn

from training.networks.backbone import Backbone


class ConvolutionalBackbone(Backbone):
    """For each width a 3x3 convolution that keeps the side, ReLU, 2x2 max pooling, and dropout.

    Kernels start uniform after Glorot and Bengio (AISTATS 2010), biases at 0: Keras' defaults, which the reports left
    as they were. There is no normalisation that would make the start matter less.

    Attributes
    ----------
    blocks
        One ``Sequential`` for each width, its parts named ``conv``, ``activation``, ``pool`` and ``dropout``.
    """

    stem = "blocks.0.conv.weight"

    def __init__(self, filters: Sequence[int], *, channels_in: int, dropout: float) -> None:
        super().__init__()
        self.channels = filters[-1]
        self.least_size = 2 ** len(filters)
        widths = [channels_in, *filters]
        self.blocks = nn.Sequential(*(_block(*pair, dropout) for pair in pairwise(widths)))

    @property
    def stages(self) -> tuple[tuple[nn.Module, ...], ...]:
        """Each block is a stage."""
        return tuple((block,) for block in self.blocks)

    @property
    def last_block(self) -> tuple[nn.Module, ...]:
        """The block of the last convolution."""
        return (self.blocks[-1],)

    def maps(self, normalised: Tensor) -> Tensor:
        """Return the last block's maps ``(n, c, h, w)``, pooled once for each block."""
        maps: Tensor = self.blocks(normalised)
        return maps

    def translated(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the state as it is: nobody else has files for this network."""
        return dict(state)


def _block(below: int, width: int, dropout: float) -> nn.Sequential:
    convolution = nn.Conv2d(below, width, kernel_size=3, padding=1)
    nn.init.xavier_uniform_(convolution.weight)
    assert convolution.bias is not None
    nn.init.zeros_(convolution.bias)
    # Not in place: whoever draws what a convolution answers would see it without its negative half.
    parts = OrderedDict(conv=convolution, activation=nn.ReLU(), pool=nn.MaxPool2d(2), dropout=nn.Dropout(dropout))
    return nn.Sequential(parts)
