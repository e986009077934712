"""Films without labels teach any backbone, an epoch at a time that the recipe may shorten."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console

from tests.support.training_runs import tiny_recipe
from training.errors import RecipeError
from training.learning.gradient_task import GradientPredictor, MaskedGradients
from training.learning.pretraining import PretrainContext, pretrain
from training.networks.network import TriageNetwork
from training.ranks import ALONE
from training.recipe import NetworkRecipe, PretrainRecipe

RECIPE = PretrainRecipe(
    epochs=1, batch_size=4, optimiser="adam", learning_rate=0.001, size=32, batches_per_epoch=2, keep="last"
)
CPU = torch.device("cpu")


def masked_gradients(recipe: PretrainRecipe = RECIPE) -> MaskedGradients:
    films = np.random.default_rng(0).integers(0, 256, (14, 1, 32, 32), dtype=np.uint8)
    return MaskedGradients(films, recipe, gray_mean=0.449, seed=1, ranks=ALONE, device=CPU)


def test_an_epoch_has_the_batches_that_the_recipe_allows() -> None:
    task = masked_gradients()
    assert (task.batches_per_epoch, task.films_per_epoch) == (2, 8)
    assert len(list(task.batches(1, 0))) == 2
    whole = masked_gradients(RECIPE.model_copy(update={"batches_per_epoch": None}))
    assert (whole.batches_per_epoch, whole.films_per_epoch) == (4, 14)


def test_a_backbone_whose_features_are_flattened_learns_from_its_maps() -> None:
    recipe = NetworkRecipe(
        architecture="convolutional", filters=(4, 6), pooling="flatten", hidden=(), dropout=0.0, activation="relu"
    )
    predictor, task = GradientPredictor(TriageNetwork(recipe, size=32)), masked_gradients()
    inputs, targets = next(iter(task.batches(1, 0)))
    outputs = predictor(*inputs)
    gradients = torch.autograd.grad(task.loss(outputs, targets), list(predictor.network.backbone.parameters()))
    assert all(gradient.abs().sum() > 0 for gradient in gradients)


def test_a_rate_that_select_films_would_steer_is_refused(tmp_path: Path) -> None:
    recipe = tiny_recipe().model_copy(update={"pretrain": RECIPE.model_copy(update={"schedule": "plateau"})})
    context = PretrainContext(
        recipe=recipe,
        films=tmp_path,
        output=tmp_path / "weights.pth",
        console=Console(file=io.StringIO()),
        device=CPU,
        ranks=ALONE,
    )
    with pytest.raises(RecipeError, match=r'pretrain\.schedule is "plateau"'):
        pretrain(context)
