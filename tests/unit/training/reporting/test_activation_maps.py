"""Every convolution of a plain network is drawn, some of a deep one, and what is drawn is what it computed."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
import torch

from model.image import Tensor
from tests.support.datasets import phantom_frames
from training.networks.network import TriageNetwork
from training.recipe import NetworkRecipe
from training.reporting.activation_maps import MOST_LAYERS, convolution_outputs, draw_activation_maps, tiled

SIX = NetworkRecipe(architecture="convolutional", filters=(4, 6, 8, 8, 70, 8), hidden=(8,), dropout=0.1)


@pytest.fixture
def film() -> Tensor:
    frames: Tensor = phantom_frames(2, pixels=64)[1:, np.newaxis]
    return frames


def test_each_convolution_of_a_plain_network_has_its_picture(film: Tensor, tmp_path: Path) -> None:
    said = draw_activation_maps(TriageNetwork(SIX, size=64), film, tmp_path)
    assert said["convolutions"] == len(said["drawn"]) == 6
    assert [path.name[:3] for path in sorted(tmp_path.iterdir())] == ["001", "002", "003", "004", "005", "006"]
    for path in tmp_path.iterdir():
        content = path.read_bytes()
        assert content[:8] == b"\x89PNG\r\n\x1a\n"
        assert struct.unpack(">I", content[16:20]) == (960,)


def test_what_is_drawn_is_the_convolution_itself_before_any_activation(film: Tensor) -> None:
    torch.manual_seed(1)
    network = TriageNetwork(SIX, size=64).eval()
    found = convolution_outputs(network, film)
    assert [maps.shape[0] for maps in found.values()] == [4, 6, 8, 8, 70, 8]
    assert all((maps < 0).any() for maps in found.values())
    assert convolution_outputs(network, film).keys() == found.keys()
    assert not any(module._forward_hooks for module in network.modules())


def test_of_a_deep_network_evenly_chosen_layers_are_drawn_first_and_last_among_them(
    film: Tensor, tmp_path: Path
) -> None:
    network = TriageNetwork(NetworkRecipe(architecture="resnet50", hidden=(8,), dropout=0.1), size=64)
    said = draw_activation_maps(network, film, tmp_path)
    assert said["convolutions"] == 53
    assert len(said["drawn"]) == len(list(tmp_path.iterdir())) == MOST_LAYERS
    assert said["drawn"][0] == "conv1"
    assert said["drawn"][-1] == "layer4.2.conv3"


def test_each_channel_is_stretched_by_itself_and_a_flat_one_is_black() -> None:
    channels = np.stack([np.full((2, 2), 7.0), np.array([[0.0, 1.0], [2.0, 4.0]]), -np.eye(2)]).astype(np.float32)
    sheet = tiled(channels)
    assert sheet.shape == (5, 5)
    assert sheet[:2, :2].max() == 0.0
    assert sheet[:2, 3:].tolist() == [[0.0, 0.25], [0.5, 1.0]]
    assert sheet[3:, :2].tolist() == [[0.0, 1.0], [1.0, 0.0]]
    # Gaps, and the place of a fourth channel that is not there.
    assert sheet[2].min() == sheet[:, 2].min() == sheet[3:, 3:].min() == 1.0
