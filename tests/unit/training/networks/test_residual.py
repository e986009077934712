"""Residual networks have torchvision's keys, and answer as they do on its files."""

from __future__ import annotations

from pathlib import Path

import torch
from monai.networks.nets.resnet import resnet18 as monai_resnet18
from torch import nn

from training.networks.network import TriageNetwork
from training.networks.residual import ResidualBackbone
from training.networks.weights import load_backbone
from training.recipe import NetworkRecipe

RECIPE = NetworkRecipe(architecture="resnet18", hidden=16, dropout=0.4)


def three_channel_network() -> nn.Module:
    """Return a network with exactly torchvision's keys and shapes, fc included."""
    torch.manual_seed(0)
    return monai_resnet18(
        spatial_dims=2,
        n_input_channels=3,
        num_classes=1000,
        shortcut_type="B",
        bias_downsample=False,
        conv1_t_size=7,
        conv1_t_stride=2,
    ).eval()


def test_resnet50_has_the_keys_and_parameters_of_torchvision() -> None:
    backbone = ResidualBackbone("resnet50", channels_in=3)
    state = backbone.state_dict()
    # 320 keys in torchvision's file, two of them fc's (ML.md §C).
    assert len(state) == 318
    assert sum(parameter.numel() for parameter in backbone.parameters()) == 23_508_032
    assert state["conv1.weight"].shape == (64, 3, 7, 7)
    assert state["layer1.0.downsample.0.weight"].shape == (256, 64, 1, 1)
    assert state["layer4.2.conv3.weight"].shape == (2048, 512, 1, 1)
    assert state["layer4.2.bn3.num_batches_tracked"].shape == ()


def test_a_loaded_imagenet_file_answers_as_three_gray_channels_would(tmp_path: Path) -> None:
    original = three_channel_network().double()
    torch.save(original.state_dict(), tmp_path / "resnet18.pth")
    network = TriageNetwork(RECIPE, size=64).double().eval()
    load_backbone(network, tmp_path / "resnet18.pth")
    original.fc = nn.Identity()
    gray = torch.randn((3, 1, 64, 64), generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    with torch.inference_mode():
        found = network.pooled(network.backbone.maps(gray))
        expected = original(gray.expand(-1, 3, -1, -1))
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)


def test_the_last_block_of_resnet50_is_layer4_2() -> None:
    backbone = ResidualBackbone("resnet50", channels_in=1)
    assert backbone.last_block == (backbone.get_submodule("layer4.2"),)
