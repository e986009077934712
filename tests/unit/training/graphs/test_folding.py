from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from tests.support.exports import KINDS, SMALL, drawn_inputs, used_network
from training.graphs.folding import prepare_for_export
from training.graphs.served import margins
from training.recipe import NetworkRecipe


@pytest.mark.parametrize("recipe", KINDS.values(), ids=KINDS)
def test_folding_changes_no_answer_beyond_rounding(recipe: NetworkRecipe) -> None:
    films = [drawn_inputs(8, with_age_sex=recipe.age_sex)]
    network = used_network(recipe)
    folded = prepare_for_export(network, half_precision_weights=False)
    maps = [each.feature_maps(torch.from_numpy(films[0].films)).detach() for each in (network, folded)]
    torch.testing.assert_close(*maps, rtol=1e-4, atol=1e-4)
    assert margins(folded, films) == pytest.approx(margins(network, films), abs=1e-4)


@pytest.mark.parametrize(
    ("kind", "before", "after"), [("residual", 20, 0), ("mobile", 27, 0), ("dense", 121, 62), ("convolutional", 0, 0)]
)
def test_normalisation_is_folded_where_it_directly_follows_a_convolution(kind: str, before: int, after: int) -> None:
    def count(network: nn.Module) -> int:
        return sum(isinstance(module, nn.BatchNorm2d) for module in network.modules())

    network = used_network(KINDS[kind])
    assert (count(network), count(prepare_for_export(network, half_precision_weights=True))) == (before, after)


def test_a_convolution_that_others_read_too_keeps_its_normalisation() -> None:
    network = prepare_for_export(used_network(KINDS["dense"]), half_precision_weights=False)
    dense = network.backbone.get_submodule("features.denseblock1.denselayer2.layers")
    # What a dense layer's last convolution finds goes to all later layers, and each normalises it in its own way.
    assert isinstance(dense.get_submodule("norm1"), nn.BatchNorm2d)
    assert isinstance(dense.get_submodule("norm2"), nn.Identity)


def test_weights_are_rounded_to_half_precision_and_stay_close() -> None:
    films = [drawn_inputs(8)]
    rounded = prepare_for_export(used_network(SMALL), half_precision_weights=True)
    heavy = [parameter for parameter in rounded.parameters() if parameter.numel() >= 1024]
    assert heavy
    assert all(torch.equal(parameter, parameter.half().float()) for parameter in heavy)
    assert margins(rounded, films) == pytest.approx(margins(used_network(SMALL), films), abs=2e-2)


def test_the_trained_network_is_left_as_it_was() -> None:
    network = used_network(SMALL)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    prepare_for_export(network, half_precision_weights=True)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert np.isfinite(margins(network, [drawn_inputs(1)])).all()
