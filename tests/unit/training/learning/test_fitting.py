"""One loop fits everything that learns, keeps the epoch it should, repeats itself exactly, and outlives a kill."""

from __future__ import annotations

import math
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from tests.support import dying_fit
from tests.support.dying_fit import RECIPE, RECIPES, WATCHFUL, Dots, dots_network, fitted, judgement, surroundings
from tests.support.threads import one_thread  # noqa: F401 - an autouse fixture
from training.errors import RecipeError, TrainingDiverged
from training.learning.fitting import fit
from training.learning.randomness import shuffled_batches
from training.learning.task import Epoch, Judgement
from training.recipe import FitRecipe


def run(
    folder: Path, recipe: FitRecipe = RECIPE, judgements: list[Judgement] | None = None
) -> tuple[dict[str, Tensor], list[Epoch]]:
    epochs: list[Epoch] = []
    answers = iter(judgements or [judgement()] * recipe.epochs)
    task = Dots(recipe, judge=lambda: next(answers))
    return fitted(recipe, task, replace(surroundings(folder), finished=epochs.append)), epochs


def judged(*aucs: float) -> list[Judgement]:
    return [judgement(auc=auc) for auc in aucs]


def losing(*losses: float) -> list[Judgement]:
    return [judgement(loss=loss) for loss in losses]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"optimiser": "sgd", "learning_rate": 0.1},
        {"optimiser": "adam"},
        {"ema_decay": 0.9, "clip_norm": 1.0},
        {"bf16": True},
    ],
)
def test_the_loss_falls(tmp_path: Path, changes: dict[str, object]) -> None:
    _, epochs = run(tmp_path, RECIPE.model_copy(update=changes))
    assert [epoch.number for epoch in epochs] == [1, 2, 3, 4]
    assert epochs[-1].loss < epochs[0].loss
    assert all(epoch.films_per_second > 0 for epoch in epochs)


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(tmp_path: Path) -> None:
    first, second = run(tmp_path / "first")[0], run(tmp_path / "second")[0]
    other = fitted(RECIPE, Dots(), replace(surroundings(tmp_path / "third"), seed=2))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not torch.equal(first["0.weight"], other["0.weight"])


def test_the_best_epoch_is_kept_or_the_last_if_the_recipe_says_so(tmp_path: Path) -> None:
    shorter = RECIPE.model_copy(update={"schedule": "constant", "warmup": 0.0})
    after_two = run(tmp_path / "two", shorter.model_copy(update={"epochs": 2}))[0]
    best = run(tmp_path / "best", shorter, judged(0.5, 0.9, 0.6, 0.7))[0]
    last = run(tmp_path / "last", shorter.model_copy(update={"keep": "last"}), judged(0.5, 0.9, 0.6, 0.7))[0]
    assert torch.equal(best["0.weight"], after_two["0.weight"])
    assert torch.equal(last["0.weight"], run(tmp_path / "whole", shorter)[0]["0.weight"])
    assert not torch.equal(best["0.weight"], last["0.weight"])


def test_the_epoch_of_the_least_loss_is_kept_where_the_loss_is_watched(tmp_path: Path) -> None:
    recipe = RECIPE.model_copy(update={"schedule": "constant", "warmup": 0.0, "monitor": "loss"})
    after_three = run(tmp_path / "three", recipe.model_copy(update={"epochs": 3}), losing(0.9, 0.8, 0.7))[0]
    kept = run(tmp_path / "kept", recipe, losing(0.9, 0.8, 0.4, 0.6))[0]
    assert torch.equal(kept["0.weight"], after_three["0.weight"])
    _, epochs = run(tmp_path / "patient", recipe.model_copy(update={"patience": 1}), losing(0.9, 0.8, 0.9, 0.1))
    assert len(epochs) == 3


def test_what_is_watched_must_be_there_only_if_it_decides_something(tmp_path: Path) -> None:
    recipe = RECIPE.model_copy(update={"monitor": "findings_auc"})
    with pytest.raises(RecipeError, match='dots: monitor = "findings_auc" has no value'):
        run(tmp_path / "best", recipe)
    assert len(run(tmp_path / "last", recipe.model_copy(update={"keep": "last"}))[1]) == 4


def test_the_averaged_weights_are_the_ones_that_are_judged(tmp_path: Path) -> None:
    seen: list[dict[str, Tensor]] = []

    class Overheard(Dots):
        def judge(self, network: nn.Module) -> Judgement | None:
            seen.append({name: tensor.clone() for name, tensor in network.state_dict().items()})
            return super().judge(network)

    recipe = RECIPE.model_copy(update={"keep": "last"})
    state = fitted(recipe, Overheard(recipe), surroundings(tmp_path))
    assert len(seen) == recipe.epochs
    assert all(torch.equal(seen[-1][name], state[name]) for name in state)


def test_a_plateau_lowers_the_rate_as_torch_does(tmp_path: Path) -> None:
    losses = [0.9, 0.8, 0.8, 0.85, 0.7999, 0.5, 0.6, 0.6, 0.6, 0.4]
    recipe = WATCHFUL.model_copy(update={"epochs": 10, "plateau_patience": 1, "plateau_factor": 0.2})
    _, epochs = run(tmp_path, recipe, losing(*losses))
    oracle = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=recipe.learning_rate)
    plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(oracle, factor=0.2, patience=1)
    expected = []
    for loss in losses:
        expected.append(oracle.param_groups[0]["lr"])
        plateau.step(loss)
    assert [epoch.learning_rate for epoch in epochs] == expected
    assert len(set(expected)) == 3


def test_a_plateau_without_select_films_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match='dots: schedule = "plateau" watches the loss on select films'):
        fitted(WATCHFUL, Dots(WATCHFUL, judge=lambda: None), surroundings(tmp_path))


def test_an_epoch_tells_what_was_answered_while_it_learnt(tmp_path: Path) -> None:
    """Keras' way: the mean over films of what each batch's network, dropout included, said before its step."""
    answers: list[Tensor] = []
    truths: list[Tensor] = []

    class Overheard(Dots):
        def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
            answers.append(outputs.detach())
            truths.append(targets)
            return super().loss(outputs, targets)

    recipe = RECIPE.model_copy(update={"epochs": 1, "batch_size": 24})
    epochs: list[Epoch] = []
    task = Overheard(recipe, judge=lambda: judgement(auc=0.8, findings_auc=0.7, loss=0.6))
    fitted(recipe, task, replace(surroundings(tmp_path), finished=epochs.append))
    assert [len(batch) for batch in truths] == [24, 24, 16]
    outputs, targets = torch.cat(answers), torch.cat(truths)
    (epoch,) = epochs
    assert epoch.accuracy == pytest.approx(float((outputs.argmax(dim=1) == targets).float().mean()))
    assert epoch.loss == pytest.approx(float(nn.functional.cross_entropy(outputs, targets)), rel=1e-6)
    assert (epoch.select_auc, epoch.findings_auc, epoch.select_loss) == (0.8, 0.7, 0.6)
    assert (epoch.select_accuracy, epoch.select_recall) == (0.5, None)


def test_a_rate_that_follows_a_schedule_is_told_for_the_last_step_of_an_epoch(tmp_path: Path) -> None:
    _, epochs = run(tmp_path)
    total, warm = 4 * 8, round(0.2 * 4 * 8)
    expected = [0.05 * 0.5 * (1 + math.cos(math.pi * (step - warm) / (total - warm))) for step in (7, 15, 23, 31)]
    assert [epoch.learning_rate for epoch in epochs] == pytest.approx(expected)


def test_an_epoch_of_fewer_batches_draws_others_every_time(tmp_path: Path) -> None:
    recipe = RECIPE.model_copy(update={"batches_per_epoch": 3, "epochs": 2})
    films: list[int] = []
    task = Dots(recipe)
    fitted(recipe, task, replace(surroundings(tmp_path), passed=films.append))
    assert task.batches_seen == 2 * 3
    assert sum(films) == 2 * 3 * 8
    first, second = (torch.cat(shuffled_batches(64, 8, seed=1, epoch=epoch, at_most=3)) for epoch in (1, 2))
    assert set(first.tolist()) != set(second.tolist())


class Relay(nn.Module):
    """Computes with another network's parameters, and has no length, like what ``torch.compile`` returns."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, inputs: Tensor) -> Tensor:
        outputs: Tensor = self.network(inputs)
        return outputs

    def __len__(self) -> int:
        raise TypeError("no length")


def test_a_network_learns_through_what_computes_in_its_place(tmp_path: Path) -> None:
    network = dots_network()
    state = fit(network, RECIPE, Dots(), surroundings(tmp_path / "relayed"), forward=Relay(network))
    plain = run(tmp_path / "plain")[0]
    assert all(torch.equal(state[name], plain[name]) for name in plain)


def test_patience_ends_it_after_so_many_epochs_without_a_better_one(tmp_path: Path) -> None:
    _, epochs = run(tmp_path, RECIPE.model_copy(update={"epochs": 9, "patience": 2}), judged(0.5, 0.6, 0.6, 0.55, 0.9))
    assert len(epochs) == 4


def test_a_loss_that_is_no_number_ends_the_training_and_names_stage_and_epoch(tmp_path: Path) -> None:
    with pytest.raises(TrainingDiverged, match="dots: the loss of epoch 1 is nan"):
        run(tmp_path, RECIPE.model_copy(update={"optimiser": "sgd", "learning_rate": 1e38}))


@pytest.mark.parametrize("keep", ["best", "last"])
def test_an_auc_that_is_no_number_ends_the_training(tmp_path: Path, keep: str) -> None:
    with pytest.raises(TrainingDiverged, match="dots: the AUC of epoch 2 on select films is nan"):
        run(tmp_path, RECIPE.model_copy(update={"keep": keep}), judged(0.5, math.nan, 0.6, 0.7))


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a fit of each recipe was killed twice, as the kernel would."""
    folder = tmp_path_factory.mktemp("killed")
    ended = subprocess.run([sys.executable, "-m", dying_fit.__name__, folder], capture_output=True, check=True)
    assert [int(code) for code in ended.stdout.split()] == [-signal.SIGKILL] * len(dying_fit.DEATHS) * len(RECIPES)
    return folder


def timeless(epoch: Epoch) -> Epoch:
    return replace(epoch, films_per_second=0.0, seconds=0.0)


@pytest.mark.parametrize("name", ["plain", "watchful"])
def test_a_fit_killed_twice_at_any_step_ends_bitwise_as_if_undisturbed(killed: Path, tmp_path: Path, name: str) -> None:
    recipe = RECIPES[name]
    whole: list[Epoch] = []
    undisturbed = fitted(recipe, Dots(recipe), replace(surroundings(tmp_path / "whole"), finished=whole.append))
    epochs: list[Epoch] = []
    task = Dots(recipe)
    resumed = fitted(recipe, task, replace(surroundings(killed / name), finished=epochs.append))
    assert [epoch.number for epoch in epochs] == [1, 2, 3, 4]
    assert task.batches_seen == 7 + 8
    assert all(torch.equal(undisturbed[name], resumed[name]) for name in undisturbed)
    assert [timeless(epoch) for epoch in epochs] == [timeless(epoch) for epoch in whole]
    assert len({epoch.learning_rate for epoch in epochs}) > 1
