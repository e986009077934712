"""Hours follow from measured rates, epochs and walks."""

from __future__ import annotations

import pytest
import torch

from tests.support.training_runs import tiny_recipe
from training.plan import plan

CPU = torch.device("cpu")


def test_hours_are_films_times_epochs_times_walks_over_the_rate() -> None:
    stage = {"learns": "last_stage", "epochs": 5, "batch_size": 4, "optimiser": "sgd", "learning_rate": 0.01}
    recipe = tiny_recipe(scratch=[stage, stage | {"size": 48}], averaging={"members": 3})
    first, second = plan(recipe, films=3600, has_weights=False, device=CPU, batches=1)
    assert (first.size, first.walks, second.size, second.walks) == (32, 1, 48, 3)
    for each in (first, second):
        assert each.hours == pytest.approx(5 * each.walks / each.films_per_second)
