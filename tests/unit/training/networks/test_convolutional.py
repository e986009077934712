"""The plain row of convolutions of reports 000, 001 and 003."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from training.errors import RecipeError
from training.networks.convolutional import ConvolutionalBackbone
from training.networks.freezing import enter_training, freeze_below
from training.networks.network import TriageNetwork
from training.recipe import NetworkRecipe

REPORT_000 = NetworkRecipe(
    architecture="convolutional",
    filters=(32, 64, 128),
    block_dropout=0.2,
    pooling="flatten",
    hidden=128,
    activation="relu",
    dropout=0.4,
    any_finding=False,
    findings=tuple(f"finding {number}" for number in range(14)),
)


def test_report_000_has_the_parameters_that_keras_counts() -> None:
    network = TriageNetwork(REPORT_000, size=28)
    # Kernels and biases: 320 + 18,496 + 73,856; dense 3·3·128 -> 128 -> 14: 147,584 + 1,806.
    assert sum(parameter.numel() for parameter in network.parameters()) == 242_062
    assert network.width == 3 * 3 * 128


def test_each_block_is_a_convolution_relu_and_max_pooling() -> None:
    backbone = ConvolutionalBackbone((4, 6), channels_in=1, dropout=0.5).eval()
    pixels = torch.randn((2, 1, 20, 20), generator=torch.Generator().manual_seed(0))
    state, expected = backbone.state_dict(), pixels
    for block in range(2):
        kernel, bias = state[f"blocks.{block}.conv.weight"], state[f"blocks.{block}.conv.bias"]
        expected = functional.max_pool2d(functional.relu(functional.conv2d(expected, kernel, bias, padding=1)), 2)
    with torch.inference_mode():
        torch.testing.assert_close(backbone.maps(pixels), expected)
    assert expected.shape == (2, 6, 5, 5)


def test_dropout_follows_each_pooling_while_it_learns_and_rests_while_frozen() -> None:
    network = TriageNetwork(REPORT_000.model_copy(update={"block_dropout": 0.5}), size=28)
    films = torch.full((1, 1, 28, 28), 200, dtype=torch.uint8)
    enter_training(network)
    learning = network.feature_maps(films)
    assert not torch.equal(learning, network.feature_maps(films))
    freeze_below(network, "head")
    enter_training(network)
    assert torch.equal(network.feature_maps(films), network.feature_maps(films))
    assert network.head.training


def test_kernels_start_as_glorot_and_biases_at_zero() -> None:
    torch.manual_seed(0)
    backbone = ConvolutionalBackbone((64, 64), channels_in=1, dropout=0.0)
    kernel = backbone.state_dict()["blocks.1.conv.weight"]
    limit = (6 / (64 * 9 + 64 * 9)) ** 0.5
    assert float(kernel.abs().max()) == pytest.approx(limit, rel=1e-3)
    assert float(kernel.std()) == pytest.approx(limit / 3**0.5, rel=0.02)
    assert not backbone.state_dict()["blocks.1.conv.bias"].any()


def test_a_film_too_small_for_the_poolings_is_refused_by_its_size() -> None:
    six = REPORT_000.model_copy(update={"filters": (8,) * 6})
    TriageNetwork(six, size=64)
    with pytest.raises(RecipeError, match="'convolutional' takes films of 64 px or more, not 63 px"):
        TriageNetwork(six, size=63)
