"""What each convolution makes of one film, as figure 3 of report 003 shows it: one picture a layer.

The only part of a report that shows a film: off unless the recipe asks for it, kept in a folder of its own, and never
part of the page or the bundle. Says how a network computes, not what it has found.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from model.image import Tensor
from training.networks.network import TriageNetwork
from training.reporting.plots.style import canvas, footnote, save

# Six of report 003 and all of a plain network are drawn; of ResNet50's 53 or DenseNet121's 120, evenly chosen ones.
MOST_LAYERS: Final = 20
MOST_CHANNELS: Final = 64

_GAP = 1
_PICTURE_INCHES = 6.4


def draw_activation_maps(network: TriageNetwork, film: Tensor, folder: Path) -> dict[str, Any]:
    """Write ``<number>-<layer>.png`` into ``folder`` for up to 20 convolutions, first and last always among them.

    ``film`` is ``(1, 1, s, s)`` uint8. Shown are a layer's outputs before its activation function, the first 64
    channels, each stretched from its own least to its own largest value: brightness cannot be compared between them.

    Returns
    -------
    dict
        ``convolutions``, how many there are; ``drawn``, the layers by name; ``most_channels``.
    """
    outputs = convolution_outputs(network.eval(), film)
    chosen = np.unique(np.linspace(0, len(outputs) - 1, min(len(outputs), MOST_LAYERS)).round().astype(int))
    names = list(outputs)
    for place in chosen.tolist():
        _draw(names[place], place + 1, len(outputs), outputs[names[place]], folder)
    return {
        "convolutions": len(outputs),
        "drawn": [names[place] for place in chosen.tolist()],
        "most_channels": MOST_CHANNELS,
    }


def convolution_outputs(network: TriageNetwork, film: Tensor) -> dict[str, NDArray[np.float32]]:
    """Return what each convolution of the backbone answers, ``(c, h, w)`` by name, in the order of computation.

    ``film`` is ``(1, 1, s, s)`` uint8; the network is as it was afterwards.
    """
    found: dict[str, NDArray[np.float32]] = {}
    with ExitStack() as hooks, torch.inference_mode():
        for name, module in network.backbone.named_modules():
            if isinstance(module, nn.Conv2d):
                hooks.enter_context(_listening(module, name, found))
        network.feature_maps(torch.from_numpy(film))
    return found


def tiled(channels: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return channels ``(c, h, w)`` side by side, nearly square, a white gap between: ``(rows, columns)`` in 0..1."""
    across = int(np.ceil(np.sqrt(len(channels))))
    down = -(-len(channels) // across)
    low, high = channels.min(axis=(1, 2), keepdims=True), channels.max(axis=(1, 2), keepdims=True)
    # A channel that is the same everywhere tells nothing and is black.
    stretched = (channels - low) / np.where(high > low, high - low, 1.0)
    height, width = channels.shape[1] + _GAP, channels.shape[2] + _GAP
    sheet = np.ones((down * height - _GAP, across * width - _GAP), dtype=np.float32)
    for place, channel in enumerate(stretched):
        top, left = place // across * height, place % across * width
        sheet[top : top + channels.shape[1], left : left + channels.shape[2]] = channel
    return sheet


@contextmanager
def _listening(module: nn.Module, name: str, found: dict[str, NDArray[np.float32]]) -> Iterator[None]:
    def keep(_: nn.Module, __: Any, answer: torch.Tensor) -> None:
        # A copy: an activation that works in place would write over it.
        found[name] = answer[0].float().clone().numpy()

    handle = module.register_forward_hook(keep)
    try:
        yield
    finally:
        handle.remove()


def _draw(name: str, number: int, convolutions: int, channels: NDArray[np.float32], folder: Path) -> None:
    shown = channels[:MOST_CHANNELS]
    sheet = tiled(shown)
    figure = canvas(f"Convolution {number} of {convolutions}: {name}", height=_PICTURE_INCHES)
    axes = figure.subplots()
    axes.imshow(sheet, cmap="gray", vmin=0.0, vmax=1.0, interpolation="nearest")
    axes.set_axis_off()
    height, width = channels.shape[1:]
    footnote(
        figure,
        f"{len(shown)} of {len(channels):,} channels, {height} x {width} each",
        "before the activation; each channel in its own range",
    )
    save(figure, folder / f"{number:03d}-{name}.png")
