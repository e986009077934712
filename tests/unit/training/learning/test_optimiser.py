"""Lower layers learn slower, norms are not decayed, and the average forgets its start."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from training.learning.network import TriageNetwork, freeze_below
from training.learning.optimiser import MovingAverage, build_optimiser, build_schedule
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
    found = rates(TriageNetwork(NETWORK), STAGE)
    assert found["head.0.weight"] == (1e-3, 0.05)
    assert [found[f"backbone.layer{stage}.0.conv1.weight"][0] for stage in (4, 3, 2, 1)] == [
        1e-4,
        5e-5,
        2.5e-5,
        1.25e-5,
    ]
    assert found["backbone.conv1.weight"][0] == pytest.approx(6.25e-6)
    assert set(found) == dict(TriageNetwork(NETWORK).named_parameters()).keys()


def test_norms_and_biases_are_not_decayed() -> None:
    found = rates(TriageNetwork(NETWORK), STAGE)
    assert found["head.0.bias"][1] == 0
    assert found["backbone.bn1.weight"][1] == 0


def test_frozen_layers_are_not_in_the_optimiser() -> None:
    network = TriageNetwork(NETWORK)
    freeze_below(network, "last_block")
    assert all(name.startswith(("head.", "backbone.layer4.1.")) for name in rates(network, STAGE))


def test_the_rate_warms_up_and_falls_to_nothing() -> None:
    recipe = STAGE.model_copy(update={"schedule": "cosine", "warmup": 0.2})
    optimiser = build_optimiser(nn.Linear(2, 2), recipe)
    schedule = build_schedule(optimiser, recipe, 10)
    seen = []
    for _ in range(10):
        seen.append(schedule.get_last_lr()[0] / recipe.learning_rate)
        optimiser.step()
        schedule.step()
    assert seen[:3] == pytest.approx([0.5, 1.0, 1.0])
    assert seen[3:] == sorted(seen[3:], reverse=True)
    assert schedule.get_last_lr()[0] == pytest.approx(0, abs=1e-9)


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
