"""What every backbone offers to the layers above it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar

from torch import Tensor, nn


class Backbone(nn.Module, ABC):
    """A row of convolutions.

    Attributes
    ----------
    channels
        Of its maps.
    least_size
        Side in pixels of the smallest film that leaves a map.
    stem
        Key of the first kernel, ``(c, 1 or 3, h, w)``: a file may hold it for another number of input channels.
    """

    channels: int
    least_size: int
    stem: ClassVar[str]

    @property
    @abstractmethod
    def stages(self) -> tuple[tuple[nn.Module, ...], ...]:
        """All modules with parameters, grouped from the stem to the top; with layer decay, lower ones learn slower."""

    @property
    @abstractmethod
    def last_block(self) -> tuple[nn.Module, ...]:
        """The modules of the block nearest to the head, all of them in the last stage: a recipe's ``last_block``."""

    @abstractmethod
    def maps(self, normalised: Tensor) -> Tensor:
        """Return feature maps ``(n, c, h, w)`` of normalised films ``(n, 1 or 3, s, s)``, before pooling."""

    @abstractmethod
    def translated(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return a file's tensors under this module's keys and in its layouts, those of a classifier left out."""
