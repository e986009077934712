"""Head and fine-tuning: what each starts from, what it leaves alone, and what it writes down."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.support.prepared_runs import FILMS, backbone_file, prepared_run, written_by
from tests.support.threads import one_thread  # noqa: F401 - an autouse fixture
from tests.support.training_runs import tiny_recipe
from training.errors import RecipeError
from training.learning.stage_films import StageFilms
from training.networks.network import TriageNetwork
from training.recipe import Recipe
from training.run_directory import RunDirectory
from training.step import StepContext
from training.steps import finetune, head

EPOCH_KEYS = {
    "number",
    "loss",
    "accuracy",
    "select_auc",
    "findings_auc",
    "select_loss",
    "select_accuracy",
    "select_recall",
    "learning_rate",
    "films_per_second",
    "seconds",
}
STAGE = {"learns": "whole", "epochs": 2, "batch_size": 8, "optimiser": "adam", "learning_rate": 0.01}
WIDTH = 6


def small_recipe(**sections: Any) -> Recipe:
    """Return a recipe for a small row of convolutions that answers two findings from films, age and sex."""
    network = {"architecture": "convolutional", "filters": [4, WIDTH], "activation": "relu", "age_sex": True}
    changes = {
        "network": {**network, "any_finding": False, "findings": ["Mass", "Nodule"]},
        "loss": {"any_weight": 0.0, "findings_weight": 1.0, "class_weights": "frequency"},
        "head": {"epochs": 12, "optimiser": "adam", "schedule": "plateau", "monitor": "loss"},
        "finetune": [],
        "scratch": [],
    }
    return tiny_recipe(**{**changes, **sections})


def with_features(context: StepContext) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Write frozen features that tell, and return them."""
    features = np.random.default_rng(5).normal(size=(FILMS, WIDTH)).astype(np.float32)
    features[:, 0] += 2 * (np.arange(FILMS) % 2)
    features[:, 1] += 2 * (np.arange(FILMS) % 3 == 0)
    context.run.features.parent.mkdir()
    np.save(context.run.features, features)
    return features


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def network_of(recipe: Recipe, run: RunDirectory) -> TriageNetwork:
    network = TriageNetwork(recipe.network, size=32)
    network.load_state_dict(torch.load(run.network, weights_only=True))
    return network.eval()


def partly_known(number: int) -> tuple[int | None, str | None]:
    """Return ages that are known of every fourth film, train's the younger, and no sex."""
    older = 0 if number % 6 < 3 else 30
    return (20 + number + older if number % 4 == 0 else None), None


def known_ages_of_train() -> list[float]:
    return [(20 + number) / 100 for number in range(0, FILMS, 4) if number % 6 < 3]


def test_the_head_learns_from_features_age_and_sex_and_writes_every_epoch_down(tmp_path: Path) -> None:
    context = prepared_run(tmp_path, small_recipe(), age_sex=partly_known)
    features = with_features(context)
    written_by(head, context)
    lines = lines_of(context.run.head_history)
    assert [set(line) for line in lines] == [EPOCH_KEYS] * 12
    assert lines[-1]["select_loss"] < lines[0]["select_loss"]
    state = torch.load(context.run.head, weights_only=True)
    torch.testing.assert_close(state.pop("neutral"), torch.tensor([float(np.mean(known_ages_of_train())), 0.5]))
    assert state["0.weight"].shape == (8, WIDTH + 2)
    network = TriageNetwork(context.order.recipe.network, size=32).eval()
    network.head.load_state_dict(state)
    unknown = torch.tensor([[np.mean(known_ages_of_train()), 0.5]], dtype=torch.float32).expand(FILMS, 2)
    with torch.inference_mode():
        logits = network.head(torch.cat([torch.from_numpy(features), unknown], dim=1))
    assert ((logits[:, 0] > 0).numpy() == (np.arange(FILMS) % 2 == 1)).mean() > 0.7


def test_without_features_no_head_is_written(tmp_path: Path) -> None:
    folder = written_by(head, prepared_run(tmp_path, small_recipe()))
    assert [path.name for path in folder.iterdir()] == ["stamp.json"]


def test_a_recipe_without_a_head_writes_none(tmp_path: Path) -> None:
    context = prepared_run(tmp_path, small_recipe(finetune=[STAGE]).model_copy(update={"head": None}))
    with_features(context)
    folder = written_by(head, context)
    assert [path.name for path in folder.iterdir()] == ["stamp.json"]


def test_a_class_weight_without_a_train_film_to_count_is_refused(tmp_path: Path) -> None:
    recipe = small_recipe(network={**small_recipe().network.model_dump(), "findings": ["Mass", "Hernia"]})
    context = prepared_run(tmp_path, recipe)
    with_features(context)
    with pytest.raises(RecipeError, match=r'the 24 train films .* for Hernia \(on 0 of them\).*class_weights = "none"'):
        written_by(head, context)


def test_an_epoch_of_a_head_may_be_shorter_than_its_films(tmp_path: Path) -> None:
    rate = {"schedule": "cosine", "learning_rate": 0.1}
    recipe = small_recipe(head={"batches_per_epoch": 2, "epochs": 2, "optimiser": "adam", **rate})
    context = prepared_run(tmp_path, recipe)
    with_features(context)
    written_by(head, context)
    # A cosine over four batches; all of train would be six.
    rates = [line["learning_rate"] for line in lines_of(context.run.head_history)]
    assert rates == pytest.approx([0.1, 0.1 * 0.5 * (1 + np.cos(np.pi * 2 / 3))])


def test_without_stages_the_network_is_the_given_backbone_under_the_head(tmp_path: Path) -> None:
    recipe = small_recipe()
    given = backbone_file(tmp_path / "init.pth", recipe)
    context = prepared_run(tmp_path / "run", recipe, init=tmp_path / "init.pth", age_sex=partly_known)
    with_features(context)
    written_by(head, context)
    written_by(finetune, context)
    assert context.run.history.read_text() == ""
    state = torch.load(context.run.network, weights_only=True)
    learnt = torch.load(context.run.head, weights_only=True)
    assert torch.equal(state["neutral"], learnt.pop("neutral"))
    assert all(torch.equal(state[f"backbone.{name}"], given[name]) for name in given)
    assert all(torch.equal(state[f"head.{name}"], learnt[name]) for name in learnt)


def test_without_a_head_a_fine_tuning_starts_from_a_fresh_one(tmp_path: Path) -> None:
    stage = STAGE | {"learns": "head", "batches_per_epoch": 2}
    recipe = small_recipe(finetune=[stage]).model_copy(update={"head": None})
    given = backbone_file(tmp_path / "init.pth", recipe)
    context = prepared_run(tmp_path / "run", recipe, init=tmp_path / "init.pth", age_sex=partly_known)
    written_by(finetune, context)
    state = torch.load(context.run.network, weights_only=True)
    torch.testing.assert_close(state["neutral"], torch.tensor([float(np.mean(known_ages_of_train())), 0.5]))
    assert all(torch.equal(state[f"backbone.{name}"], given[name]) for name in given)
    lines = lines_of(context.run.history)
    assert [set(line) for line in lines] == [EPOCH_KEYS | {"member", "stage", "learns", "size"}] * 2
    assert StageFilms(context, recipe.finetune[0], seed=1).films_per_epoch == 16


def test_films_age_and_sex_are_learnt_from_together(tmp_path: Path) -> None:
    recipe = small_recipe(scratch=[STAGE | {"epochs": 12, "learning_rate": 0.03}])
    context = prepared_run(tmp_path, recipe, age_sex=lambda number: (50, "FM"[number % 2]))
    written_by(finetune, context)
    network = network_of(recipe, context.run)
    films = torch.from_numpy(np.load(context.run.tensors(32)))
    men, women = (torch.tensor([[0.5, sex]]).expand(FILMS, 2) for sex in (1.0, 0.0))
    with torch.inference_mode():
        assert (network(films, men)[:, 0] > network(films, women)[:, 0]).all()


def test_a_recipe_for_given_weights_is_not_started_from_scratch(tmp_path: Path) -> None:
    context = prepared_run(tmp_path, small_recipe())
    with pytest.raises(RecipeError, match="give --init"):
        written_by(finetune, context)
    assert not context.run.network.exists()


def test_two_members_are_compared_by_every_figure_of_select_films(tmp_path: Path) -> None:
    recipe = small_recipe(scratch=[STAGE, STAGE | {"epochs": 1}], averaging={"members": 2})
    context = prepared_run(tmp_path, recipe)
    written_by(finetune, context)
    assert set(lines_of(context.run.history)[-1]) == {
        "average_of",
        "member_select_aucs",
        *(key for key in EPOCH_KEYS if key.startswith("select_")),
        "findings_auc",
    }
