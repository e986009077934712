"""DenseNet121 answers as torchvision's does on torchvision's own files."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.support.foreign_weights import densenet121_maps, doubled, torchvision_densenet121
from training.networks.dense import DenseBackbone
from training.networks.network import TriageNetwork
from training.networks.weights import load_backbone
from training.recipe import NetworkRecipe

RECIPE = NetworkRecipe(architecture="densenet121", hidden=(), dropout=0.0)


def test_densenet121_has_its_parameters_and_convolutions() -> None:
    backbone = DenseBackbone(channels_in=3)
    assert sum(parameter.numel() for parameter in backbone.parameters()) == 6_953_856
    assert sum(isinstance(module, torch.nn.Conv2d) for module in backbone.modules()) == 120
    assert len(torchvision_densenet121()) == 727
    assert backbone.translated(torchvision_densenet121()).keys() == backbone.state_dict().keys()


@pytest.mark.parametrize("legacy", [False, True], ids=["denselayer1.norm1", "denselayer1.norm.1"])
def test_a_file_of_torchvision_answers_as_it_does_there_for_gray_copied_to_three_channels(
    tmp_path: Path, legacy: bool
) -> None:
    network = TriageNetwork(RECIPE, size=64).double().eval()
    torch.save(doubled(torchvision_densenet121(legacy=legacy)), tmp_path / "densenet121.pth")
    load_backbone(network, tmp_path / "densenet121.pth")
    gray = torch.randn((2, 1, 64, 64), generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    state = doubled(torchvision_densenet121())
    with torch.inference_mode():
        found, expected = network.backbone.maps(gray), densenet121_maps(state, gray.expand(-1, 3, -1, -1))
    assert found.shape == (2, 1024, 2, 2)
    assert expected[0].std() > 0.1
    assert not torch.allclose(expected[0], expected[1], rtol=0.1)
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)


def test_three_channels_stay_with_imagenet_normalisation(tmp_path: Path) -> None:
    torch.save(torchvision_densenet121(), tmp_path / "densenet121.pth")
    network = TriageNetwork(RECIPE.model_copy(update={"normalisation": "imagenet"}), size=64).eval()
    load_backbone(network, tmp_path / "densenet121.pth")
    films = torch.randint(0, 256, (2, 1, 64, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(2))
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    pixels = (films / 255 - mean.view(1, 3, 1, 1)) / std.view(1, 3, 1, 1)
    with torch.inference_mode():
        expected = densenet121_maps(torchvision_densenet121(), pixels)
        torch.testing.assert_close(network.feature_maps(films), expected, rtol=1e-3, atol=1e-3)


def test_the_last_block_of_densenet121_is_its_last_layer_and_what_normalises_it() -> None:
    backbone = DenseBackbone(channels_in=1)
    layer, norm = backbone.last_block
    assert [name for name, module in backbone.named_modules() if module in (layer, norm)] == [
        "features.denseblock4.denselayer16",
        "features.norm5",
    ]
