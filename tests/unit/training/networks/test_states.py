"""States are written whole or not at all, and averaged with their batch statistics."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from training.networks.network import TriageNetwork
from training.networks.states import mean_state, save_state
from training.recipe import NetworkRecipe

RECIPE = NetworkRecipe(architecture="resnet18", hidden=16, dropout=0.4)


def test_a_full_disk_is_an_os_error_while_a_state_is_saved() -> None:
    with pytest.raises(OSError, match="No space left"):
        save_state(TriageNetwork(RECIPE, size=64).state_dict(), Path("/dev/full"))


def test_the_mean_of_networks_is_that_of_weights_and_batch_statistics() -> None:
    states = [TriageNetwork(RECIPE, size=64).state_dict() for _ in range(3)]
    states[1]["backbone.bn1.running_mean"] += 3.0
    mean = mean_state(states)
    name = "backbone.layer3.0.conv1.weight"
    torch.testing.assert_close(mean[name], (states[0][name] + states[1][name] + states[2][name]) / 3)
    torch.testing.assert_close(mean["backbone.bn1.running_mean"], torch.ones(64))
    assert mean["backbone.bn1.num_batches_tracked"].dtype == torch.int64
