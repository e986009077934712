"""A stage teaches what it says and leaves the rest as it was, in every architecture."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from training.networks.freezing import Learns, enter_training, freeze_below
from training.networks.network import TriageNetwork
from training.recipe import NetworkRecipe

RECIPES = {
    "resnet18": NetworkRecipe(architecture="resnet18", hidden=8, dropout=0.4),
    "densenet121": NetworkRecipe(architecture="densenet121", hidden=8, dropout=0.4),
    "mobilenet": NetworkRecipe(architecture="mobilenet", hidden=8, dropout=0.4),
    "convolutional": NetworkRecipe(architecture="convolutional", filters=(8, 16), hidden=8, dropout=0.4),
}
BOUNDARIES: dict[tuple[str, Learns], tuple[str, ...]] = {
    ("resnet18", "last_block"): ("layer4.1.",),
    ("resnet18", "last_stage"): ("layer4.",),
    ("densenet121", "last_block"): ("features.denseblock4.denselayer16.", "features.norm5."),
    ("densenet121", "last_stage"): ("features.denseblock4.", "features.norm5."),
    ("mobilenet", "last_block"): ("conv_dw_13", "conv_pw_13"),
    ("mobilenet", "last_stage"): ("conv_dw_12", "conv_pw_12", "conv_dw_13", "conv_pw_13"),
    ("convolutional", "last_block"): ("blocks.1.",),
    ("convolutional", "last_stage"): ("blocks.1.",),
}


def films(count: int) -> torch.Tensor:
    return torch.randint(0, 256, (count, 1, 64, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


def learning(network: TriageNetwork) -> set[str]:
    return {name for name, parameter in network.named_parameters() if parameter.requires_grad}


@pytest.mark.parametrize(("architecture", "learns"), BOUNDARIES)
def test_a_stage_teaches_exactly_what_it_says(architecture: str, learns: Learns) -> None:
    network = TriageNetwork(RECIPES[architecture], size=64)
    freeze_below(network, learns)
    names = dict(network.named_parameters()).keys()
    boundary = tuple(f"backbone.{start}" for start in BOUNDARIES[architecture, learns])
    assert learning(network) == {name for name in names if name.startswith(("head.", *boundary))}


@pytest.mark.parametrize("architecture", RECIPES)
def test_whole_is_everything_and_head_is_the_head_alone(architecture: str) -> None:
    network = TriageNetwork(RECIPES[architecture], size=64)
    freeze_below(network, "head")
    assert learning(network) == {f"head.{name}" for name, _ in network.head.named_parameters()}
    freeze_below(network, "whole")
    assert learning(network) == dict(network.named_parameters()).keys()


@pytest.mark.parametrize("architecture", RECIPES)
def test_stages_hold_every_parameter_once_and_the_last_block_is_of_the_last_stage(architecture: str) -> None:
    network = TriageNetwork(RECIPES[architecture], size=64)
    staged = [id(parameter) for stage in network.stages for module in stage for parameter in module.parameters()]
    assert sorted(staged) == sorted(id(parameter) for parameter in network.backbone.parameters())
    top = nn.ModuleList(network.stages[-1])
    assert all(any(block is module for module in top.modules()) for block in network.last_block)


@pytest.mark.parametrize("architecture", ["resnet18", "densenet121", "mobilenet"])
def test_frozen_statistics_stay_while_those_above_them_move(architecture: str) -> None:
    network = TriageNetwork(RECIPES[architecture], size=64)
    freeze_below(network, "last_block")
    enter_training(network)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    network(films(4))
    changed = {name for name, tensor in network.state_dict().items() if not torch.equal(tensor, before[name])}
    boundary = tuple(f"backbone.{start}" for start in BOUNDARIES[architecture, "last_block"])
    assert changed
    assert all(name.startswith(boundary) for name in changed)
