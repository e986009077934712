"""Lower layers learn slower, norms are not decayed, and the average forgets its start."""

from __future__ import annotations

from typing import Literal

import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR, ReduceLROnPlateau

from training.learning.optimiser import MovingAverage, build_optimiser, build_schedule
from training.networks.freezing import freeze_below
from training.networks.network import TriageNetwork
from training.recipe import FitRecipe, NetworkRecipe, StageRecipe

NETWORK = NetworkRecipe(architecture="resnet18", hidden=4, dropout=0.0)
STAGE = StageRecipe(
    learns="whole",
    epochs=1,
    batch_size=8,
    optimiser="adamw",
    learning_rate=1e-3,
    backbone_learning_rate=1e-4,
    layer_decay=0.5,
    weight_decay=0.05,
)


def rates(network: TriageNetwork, recipe: FitRecipe) -> dict[str, tuple[float, float]]:
    """Return learning rate and weight decay of each parameter by name."""
    names = {id(parameter): name for name, parameter in network.named_parameters()}
    groups = build_optimiser(network, recipe).param_groups
    return {names[id(each)]: (group["lr"], group["weight_decay"]) for group in groups for each in group["params"]}


def test_each_stage_below_learns_slower_by_the_decay_and_the_stem_slowest() -> None:
    found = rates(TriageNetwork(NETWORK, size=64), STAGE)
    assert found["head.0.weight"] == (1e-3, 0.05)
    assert [found[f"backbone.layer{stage}.0.conv1.weight"][0] for stage in (4, 3, 2, 1)] == [
        1e-4,
        5e-5,
        2.5e-5,
        1.25e-5,
    ]
    assert found["backbone.conv1.weight"][0] == pytest.approx(6.25e-6)
    assert set(found) == dict(TriageNetwork(NETWORK, size=64).named_parameters()).keys()


@pytest.mark.parametrize(
    ("recipe", "firsts"),
    [
        (
            {"architecture": "densenet121"},
            {
                "features.denseblock4.denselayer16.layers.conv2": 1e-4,
                "features.norm5": 1e-4,
                "features.denseblock3.denselayer1.layers.conv1": 5e-5,
                "features.transition1.conv": 1.25e-5,
                "features.conv0": 6.25e-6,
            },
        ),
        (
            {"architecture": "mobilenet"},
            {"conv_pw_13": 1e-4, "conv_dw_11": 5e-5, "conv_dw_1": 6.25e-6, "conv1": 6.25e-6},
        ),
        (
            {"architecture": "convolutional", "filters": (4, 4, 4)},
            {"blocks.2.conv": 1e-4, "blocks.1.conv": 5e-5, "blocks.0.conv": 2.5e-5},
        ),
    ],
    ids=["densenet121", "mobilenet", "convolutional"],
)
def test_every_architecture_has_its_depths(recipe: dict[str, object], firsts: dict[str, float]) -> None:
    network = TriageNetwork(NetworkRecipe.model_validate({"hidden": 4, "dropout": 0.0, **recipe}), size=64)
    found = rates(network, STAGE)
    assert {name: found[f"backbone.{name}.weight"][0] for name in firsts} == pytest.approx(firsts)
    assert set(found) == dict(network.named_parameters()).keys()


def test_norms_and_biases_are_not_decayed() -> None:
    found = rates(TriageNetwork(NETWORK, size=64), STAGE)
    assert found["head.0.bias"][1] == 0
    assert found["backbone.bn1.weight"][1] == 0


def test_frozen_layers_are_not_in_the_optimiser() -> None:
    network = TriageNetwork(NETWORK, size=64)
    freeze_below(network, "last_block")
    assert all(name.startswith(("head.", "backbone.layer4.1.")) for name in rates(network, STAGE))


def test_the_rate_warms_up_and_falls_to_nothing() -> None:
    recipe = STAGE.model_copy(update={"schedule": "cosine", "warmup": 0.2})
    optimiser = build_optimiser(nn.Linear(2, 2), recipe)
    schedule = build_schedule(optimiser, recipe, 10)
    assert isinstance(schedule, LambdaLR)
    seen = []
    for _ in range(10):
        seen.append(schedule.get_last_lr()[0] / recipe.learning_rate)
        optimiser.step()
        schedule.step()
    assert seen[:3] == pytest.approx([0.5, 1.0, 1.0])
    assert seen[3:] == sorted(seen[3:], reverse=True)
    assert schedule.get_last_lr()[0] == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("kind", ["adam", "adamw"])
def test_adam_has_the_epsilon_of_the_recipe(kind: Literal["adam", "adamw"]) -> None:
    recipe = FitRecipe(epochs=1, batch_size=2, optimiser=kind, learning_rate=0.1, epsilon=1e-7)
    optimiser = build_optimiser(nn.Linear(2, 2), recipe)
    assert type(optimiser) is {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[kind]
    assert {group["eps"] for group in optimiser.param_groups} == {1e-7}


def test_a_plateau_of_the_loss_cuts_the_rate_and_a_fall_does_not() -> None:
    recipe = STAGE.model_copy(update={"schedule": "plateau", "plateau_patience": 1, "plateau_factor": 0.2})
    optimiser = build_optimiser(nn.Linear(2, 2), recipe)
    schedule = build_schedule(optimiser, recipe, 10)
    assert isinstance(schedule, ReduceLROnPlateau)
    seen = []
    for loss in (0.9, 0.8, 0.85, 0.81, 0.7, 0.71):
        schedule.step(loss)
        seen.append(optimiser.param_groups[0]["lr"] / recipe.learning_rate)
    assert seen == pytest.approx([1, 1, 1, 0.2, 0.2, 0.2])


def test_a_constant_rate_stays() -> None:
    optimiser = build_optimiser(nn.Linear(2, 2), STAGE)
    schedule = build_schedule(optimiser, STAGE, 10)
    assert isinstance(schedule, LambdaLR)
    optimiser.step()
    schedule.step()
    assert schedule.get_last_lr() == [STAGE.learning_rate] * 2


def test_the_average_follows_weights_and_batch_statistics_and_forgets_its_start_first() -> None:
    network = nn.BatchNorm1d(2)
    average = MovingAverage(network, 0.99)
    with torch.no_grad():
        network.weight.fill_(3.0)
        network.running_mean.fill_(1.0)  # type: ignore[union-attr]  # a buffer of this layer
        network.num_batches_tracked.fill_(7)  # type: ignore[union-attr]
    average.follow(network)
    state = average.network.state_dict()
    # After one step the decay is 2/11, not .99.
    assert state["weight"].tolist() == pytest.approx([1 + 2 * 9 / 11] * 2)
    assert state["running_mean"].tolist() == pytest.approx([9 / 11] * 2)
    assert state["num_batches_tracked"] == 7
    assert MovingAverage(network, 0.0).network is network
