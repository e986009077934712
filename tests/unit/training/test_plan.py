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


def test_an_epoch_of_few_batches_takes_their_films_only() -> None:
    stage = {"learns": "whole", "epochs": 3, "batch_size": 4, "optimiser": "adam", "learning_rate": 0.01}
    recipe = tiny_recipe(scratch=[stage | {"batches_per_epoch": 9}])
    few, many = (plan(recipe, films=films, has_weights=False, device=CPU, batches=1)[0] for films in (20, 3600))
    assert few.hours == pytest.approx(3 * 20 / few.films_per_second / 3600)
    assert many.hours == pytest.approx(3 * 36 / many.films_per_second / 3600)


def test_a_recipe_whose_head_alone_learns_has_no_stage_to_time() -> None:
    assert plan(tiny_recipe(finetune=[]), films=100, has_weights=True, device=CPU, batches=1) == []


def test_a_stage_steered_by_select_films_is_timed_without_any() -> None:
    stage = {"learns": "head", "epochs": 2, "batch_size": 4, "optimiser": "adam", "learning_rate": 0.01}
    recipe = tiny_recipe(
        network={"any_finding": False, "findings": ["Mass"], "age_sex": True},
        loss={"any_weight": 0.0, "findings_weight": 1.0, "class_weights": "balanced"},
        finetune=[stage | {"schedule": "plateau", "monitor": "findings_auc", "patience": 1}],
    )
    (timed,) = plan(recipe, films=100, has_weights=True, device=CPU, batches=1)
    assert timed.films_per_second > 0
