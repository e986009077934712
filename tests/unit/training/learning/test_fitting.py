"""One loop fits everything that learns, keeps the epoch it should, repeats itself exactly, and outlives a kill."""

from __future__ import annotations

import math
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from tests.support import dying_fit
from tests.support.dying_fit import RECIPE, Dots, dots_network, fitted, surroundings
from tests.support.threads import one_thread  # noqa: F401 - an autouse fixture
from training.checkpoint import Checkpoints
from training.errors import RunError, TrainingDiverged
from training.learning.fitting import fit
from training.learning.randomness import Draw, mixed_seed, shuffled_batches
from training.learning.task import Epoch, Judgement
from training.ranks import Ranks
from training.recipe import FitRecipe


def run(
    folder: Path, recipe: FitRecipe = RECIPE, aucs: list[float] | None = None
) -> tuple[dict[str, Tensor], list[Epoch]]:
    epochs: list[Epoch] = []
    answers = iter(aucs or [0.5] * recipe.epochs)
    task = Dots(judge=lambda: Judgement(auc=next(answers)))
    return fitted(recipe, task, replace(surroundings(folder), finished=epochs.append)), epochs


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
    best = run(tmp_path / "best", shorter, [0.5, 0.9, 0.6, 0.7])[0]
    last = run(tmp_path / "last", shorter.model_copy(update={"keep": "last"}), [0.5, 0.9, 0.6, 0.7])[0]
    assert torch.equal(best["0.weight"], after_two["0.weight"])
    assert torch.equal(last["0.weight"], run(tmp_path / "whole", shorter)[0]["0.weight"])
    assert not torch.equal(best["0.weight"], last["0.weight"])


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
    _, epochs = run(tmp_path, RECIPE.model_copy(update={"epochs": 9, "patience": 2}), [0.5, 0.6, 0.6, 0.55, 0.9])
    assert len(epochs) == 4


def test_a_loss_that_is_no_number_ends_the_training_and_names_stage_and_epoch(tmp_path: Path) -> None:
    with pytest.raises(TrainingDiverged, match="dots: the loss of epoch 1 is nan"):
        run(tmp_path, RECIPE.model_copy(update={"optimiser": "sgd", "learning_rate": 1e38}))


@pytest.mark.parametrize("keep", ["best", "last"])
def test_an_auc_that_is_no_number_ends_the_training(tmp_path: Path, keep: str) -> None:
    with pytest.raises(TrainingDiverged, match="dots: the AUC of epoch 2 on select films is nan"):
        run(tmp_path, RECIPE.model_copy(update={"keep": keep}), [0.5, math.nan, 0.6, 0.7])


def killed_at(folder: Path, batch: int, *, seconds_within: float = 600.0) -> int:
    command = [sys.executable, "-m", dying_fit.__name__, str(folder), str(batch), str(seconds_within)]
    return subprocess.run(command, check=False).returncode


def test_a_fit_killed_twice_at_any_step_ends_bitwise_as_if_undisturbed(tmp_path: Path) -> None:
    undisturbed = fitted(RECIPE, Dots(), surroundings(tmp_path / "undisturbed"))
    # In the second of four epochs of eight batches, which starts over; then in the third, kept after every batch.
    assert killed_at(tmp_path / "killed", 11) == -signal.SIGKILL
    assert killed_at(tmp_path / "killed", 10, seconds_within=0.0) == -signal.SIGKILL
    epochs: list[Epoch] = []
    task = Dots()
    resumed = fitted(RECIPE, task, replace(surroundings(tmp_path / "killed"), finished=epochs.append))
    assert [epoch.number for epoch in epochs] == [1, 2, 3, 4]
    assert task.batches_seen == 7 + 8
    assert all(torch.equal(undisturbed[name], resumed[name]) for name in undisturbed)


def test_a_checkpoint_of_other_inputs_is_never_used(tmp_path: Path) -> None:
    run(tmp_path)
    assert surroundings(tmp_path).checkpoints.read("dots") is not None
    assert Checkpoints(folder=tmp_path, key="other", say=print).read("dots") is None


@pytest.mark.parametrize("damage", [lambda content: content[:-40], lambda content: b"", lambda content: b"\0" * 99])
def test_a_broken_checkpoint_is_put_aside_aloud(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    said: list[str] = []
    checkpoints = Checkpoints(folder=tmp_path, key="key", say=said.append)
    checkpoints.write("dots", {"value": torch.ones(3), "texts": ["a"], "number": 1.5})
    assert (checkpoints.read("dots") or {}).get("number") == 1.5
    path = tmp_path / "dots.pt"
    broken = damage(path.read_bytes())
    path.write_bytes(broken)
    assert checkpoints.read("dots") is None
    assert (tmp_path / "dots.unreadable").read_bytes() == broken
    assert not path.exists()
    assert said == [
        f"WARNING: {path} is no checkpoint; it is put aside as dots.unreadable, and its training starts over"
    ]
    checkpoints.clear()
    assert not tmp_path.exists()


def test_a_checkpoint_that_cannot_be_read_now_is_not_taken_for_none(tmp_path: Path) -> None:
    (tmp_path / "dots.pt").mkdir()
    with pytest.raises(RunError, match=r"cannot read the checkpoint .*dots\.pt"):
        Checkpoints(folder=tmp_path, key="key", say=print).read("dots")


def test_another_number_of_ranks_has_checkpoints_of_its_own() -> None:
    assert len({Ranks(size=size).keyed("key") for size in (1, 2, 3)}) == 3


def test_a_rank_that_does_not_lead_writes_no_checkpoint(tmp_path: Path) -> None:
    Checkpoints(folder=tmp_path / "none", key="key", say=print, writes=False).write("dots", {})
    assert not (tmp_path / "none").exists()


def test_batches_cover_every_film_once_and_depend_on_seed_and_epoch_alone() -> None:
    batches = shuffled_batches(22, 8, seed=1, epoch=2)
    assert sorted(torch.cat(batches).tolist()) == list(range(22))
    assert torch.equal(torch.cat(batches), torch.cat(shuffled_batches(22, 8, seed=1, epoch=2)))
    assert not torch.equal(torch.cat(batches), torch.cat(shuffled_batches(22, 8, seed=1, epoch=3)))


def test_a_last_batch_too_small_for_two_films_a_rank_is_left_out() -> None:
    assert [len(batch) for batch in shuffled_batches(17, 8, seed=1, epoch=1)] == [8, 8]
    assert [len(batch) for batch in shuffled_batches(19, 8, seed=1, epoch=1, ranks=2)] == [8, 8]
    assert [len(batch) for batch in shuffled_batches(20, 8, seed=1, epoch=1, ranks=2)] == [8, 8, 4]


def test_every_purpose_and_place_of_a_run_has_its_own_seed() -> None:
    def places() -> Iterator[int]:
        for draw in Draw:
            for seed in range(4):
                for epoch in range(4):
                    yield mixed_seed(draw, seed, epoch)
                    yield from (mixed_seed(draw, seed, epoch, batch) for batch in range(20))

    assert len(set(places())) == len(Draw) * 4 * 4 * 21
