"""One loop fits every stage, keeps the epoch it should, and repeats itself exactly."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from training.augmentation import augment
from training.errors import TrainingDiverged
from training.fitting import Batch, Epoch, fit, shuffled_batches
from training.labels import area_under_curve
from training.recipe import AugmentationRecipe, FitRecipe

RECIPE = FitRecipe(epochs=4, batch_size=8, optimiser="adamw", learning_rate=0.05, schedule="cosine", warmup=0.2)


def data() -> Batch:
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn((64, 3), generator=generator)
    return inputs, (inputs[:, 0] > 0).long()


def fitted(recipe: FitRecipe, aucs: list[float] | None = None) -> tuple[dict[str, torch.Tensor], list[Epoch]]:
    torch.manual_seed(0)
    inputs, labels = data()
    epochs: list[Epoch] = []
    answers = iter(aucs or [0.5] * recipe.epochs)

    def batches(epoch: int) -> list[Batch]:
        return [(inputs[rows], labels[rows]) for rows in shuffled_batches(64, recipe.batch_size, seed=1, epoch=epoch)]

    state = fit(
        nn.Linear(3, 2),
        recipe,
        batches=batches,
        batches_per_epoch=8,
        validate=lambda network: next(answers),
        finished=epochs.append,
    )
    return state, epochs


@pytest.mark.parametrize("changes", [{}, {"optimiser": "sgd"}, {"ema_decay": 0.9, "clip_norm": 1.0}, {"bf16": True}])
def test_the_loss_falls(changes: dict[str, object]) -> None:
    _, epochs = fitted(RECIPE.model_copy(update=changes))
    assert [epoch.number for epoch in epochs] == [1, 2, 3, 4]
    assert epochs[-1].loss < epochs[0].loss


def test_the_same_seed_gives_the_same_weights() -> None:
    first, second = fitted(RECIPE)[0], fitted(RECIPE)[0]
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_the_best_epoch_is_kept_or_the_last_if_the_recipe_says_so() -> None:
    shorter = RECIPE.model_copy(update={"schedule": "constant", "warmup": 0.0})
    after_two = fitted(shorter.model_copy(update={"epochs": 2}))[0]
    best = fitted(shorter, [0.5, 0.9, 0.6, 0.7])[0]
    last = fitted(shorter.model_copy(update={"keep": "last"}), [0.5, 0.9, 0.6, 0.7])[0]
    assert torch.equal(best["weight"], after_two["weight"])
    assert torch.equal(last["weight"], fitted(shorter)[0]["weight"])
    assert not torch.equal(best["weight"], last["weight"])


def test_a_loss_that_is_no_number_ends_the_training() -> None:
    with pytest.raises(TrainingDiverged, match="epoch 1"):
        fitted(RECIPE.model_copy(update={"optimiser": "sgd", "learning_rate": math.inf}))


@pytest.mark.parametrize("keep", ["best", "last"])
def test_an_auc_that_is_no_number_ends_the_training(keep: str) -> None:
    with pytest.raises(TrainingDiverged, match="AUC of epoch 2 on select films is nan"):
        fitted(RECIPE.model_copy(update={"keep": keep}), [0.5, math.nan, 0.6, 0.7])


def test_logits_that_are_no_numbers_have_no_auc() -> None:
    logits = torch.tensor([[0.0, 1.0], [0.0, math.nan]])
    assert math.isnan(area_under_curve(torch.tensor([0, 1]), logits))
    assert area_under_curve(torch.tensor([0, 1]), torch.tensor([[0.0, 1.0], [0.0, 2.0]])) == 1


def test_batches_cover_every_film_once_and_depend_on_seed_and_epoch_alone() -> None:
    batches = shuffled_batches(21, 8, seed=1, epoch=2)
    assert sorted(torch.cat(batches).tolist()) == list(range(21))
    assert torch.equal(torch.cat(batches), torch.cat(shuffled_batches(21, 8, seed=1, epoch=2)))
    assert not torch.equal(torch.cat(batches), torch.cat(shuffled_batches(21, 8, seed=1, epoch=3)))


def test_a_last_batch_of_one_is_left_out() -> None:
    assert [len(batch) for batch in shuffled_batches(17, 8, seed=1, epoch=1)] == [8, 8]


def test_augmentation_is_seeded_mild_and_stays_in_range() -> None:
    recipe = AugmentationRecipe(degrees=7, shift=0.04, zoom=0.08, contrast=0.15, brightness=0.05)
    films = torch.zeros((4, 1, 32, 32), dtype=torch.uint8)
    films[:, :, 8:24, 8:24] = 200
    first = augment(films, recipe, torch.Generator().manual_seed(0))
    assert torch.equal(first, augment(films, recipe, torch.Generator().manual_seed(0)))
    assert not torch.equal(first, augment(films, recipe, torch.Generator().manual_seed(1)))
    assert first.shape == films.shape
    assert first.min() >= 0
    assert first.max() <= 255
    # What lies far outside the film stays as black as the letterbox.
    assert (first[:, :, 0, 0] == 0).all()
    assert (first[:, :, 14:18, 14:18] > 100).all()


def test_no_augmentation_is_no_change() -> None:
    films = torch.randint(0, 256, (2, 1, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    unchanged = augment(films, AugmentationRecipe(), torch.Generator())
    torch.testing.assert_close(unchanged, films.float(), atol=1e-2, rtol=0)


def test_augmentation_never_flips() -> None:
    recipe = AugmentationRecipe(degrees=45, shift=0.1, zoom=0.3)
    films = torch.zeros((64, 1, 32, 32), dtype=torch.uint8)
    films[:, :, 12:20, 20:28] = 255
    moved = augment(films, recipe, torch.Generator().manual_seed(0))
    assert (moved[..., 16:].sum(dim=(1, 2, 3)) > moved[..., :16].sum(dim=(1, 2, 3))).all()
