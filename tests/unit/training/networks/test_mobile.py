"""MobileNet answers as Keras' does on weights with Keras' names and layouts."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.support.foreign_weights import doubled, keras_mobilenet, mobilenet_maps
from training.networks.mobile import MobileBackbone
from training.networks.network import TriageNetwork
from training.networks.states import save_state
from training.networks.weights import load_backbone
from training.recipe import NetworkRecipe

# Keras feeds it pixels in -1..1.
RECIPE = NetworkRecipe(architecture="mobilenet", hidden=(), dropout=0.0, gray_mean=0.5, gray_std=0.5)


def test_mobilenet_has_its_parameters_and_convolutions() -> None:
    backbone = MobileBackbone(channels_in=3)
    state = backbone.state_dict()
    # Keras counts running means and variances among the parameters.
    counted = [tensor for name, tensor in state.items() if not name.endswith("num_batches_tracked")]
    assert len(counted) == 135
    assert sum(tensor.numel() for tensor in counted) == 3_228_864
    assert sum(isinstance(module, torch.nn.Conv2d) for module in backbone.modules()) == 27


@pytest.mark.parametrize("size", [64, 65])
@pytest.mark.parametrize(
    "names",
    [
        {},
        {"depthwise": "depthwise_kernel", "suffix": ":0"},
        {"prefix": "mobilenet_1.00_224/"},
    ],
    ids=["keras 3", "keras 2", "nested"],
)
def test_variables_of_keras_answer_as_they_do_there_for_gray_copied_to_three_channels(
    tmp_path: Path, names: dict[str, str], size: int
) -> None:
    network = TriageNetwork(RECIPE, size=size).double().eval()
    torch.save(doubled(keras_mobilenet(**names)), tmp_path / "mobilenet.pth")
    load_backbone(network, tmp_path / "mobilenet.pth")
    gray = torch.randn((2, 1, size, size), generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    state = doubled(keras_mobilenet())
    with torch.inference_mode():
        found, expected = network.backbone.maps(gray), mobilenet_maps(state, gray.expand(-1, 3, -1, -1))
    assert found.shape == (2, 1024, 2, 2)
    assert expected[0].std() > 0.1
    assert not torch.allclose(expected[0], expected[1], rtol=0.1)
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)


def test_films_reach_mobilenet_as_keras_preprocesses_them(tmp_path: Path) -> None:
    torch.save(keras_mobilenet(), tmp_path / "mobilenet.pth")
    network = TriageNetwork(RECIPE, size=64).eval()
    load_backbone(network, tmp_path / "mobilenet.pth")
    films = torch.randint(0, 256, (2, 1, 64, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(2))
    with torch.inference_mode():
        expected = mobilenet_maps(keras_mobilenet(), (films / 127.5 - 1).expand(-1, 3, -1, -1))
        torch.testing.assert_close(network.feature_maps(films), expected, rtol=1e-3, atol=1e-3)


def test_a_state_of_ours_loads_as_it_is(tmp_path: Path) -> None:
    trained, fresh = TriageNetwork(RECIPE, size=64), TriageNetwork(RECIPE, size=64)
    save_state(trained.backbone.state_dict(), tmp_path / "ours.pth")
    load_backbone(fresh, tmp_path / "ours.pth")
    for name, tensor in fresh.backbone.state_dict().items():
        assert torch.equal(tensor, trained.backbone.state_dict()[name]), name


def test_the_last_block_of_mobilenet_is_its_thirteenth() -> None:
    backbone = MobileBackbone(channels_in=1)
    names = {module: name for name, module in backbone.named_modules()}
    found = [names[module] for module in backbone.last_block]
    assert found == ["conv_dw_13", "conv_dw_13_bn", "conv_pw_13", "conv_pw_13_bn"]
    assert [names[stage[0]] for stage in backbone.stages] == [
        "conv1",
        "conv_dw_2",
        "conv_dw_4",
        "conv_dw_6",
        "conv_dw_12",
    ]
