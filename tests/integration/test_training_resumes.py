"""A fine-tuning that was killed, or that several processes share, ends in the network of its recipe."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from rich.console import Console

from tests.support.datasets import write_collection
from tests.support.threads import one_thread  # noqa: F401 - an autouse fixture
from tests.support.training_runs import context_of, tiny_recipe
from training.errors import RecipeError
from training.learning.pretraining import PretrainContext, pretrain
from training.line import run_step
from training.networks.network import TriageNetwork
from training.provenance import weights_sha256
from training.ranks import ALONE
from training.recipe import Recipe
from training.recipe_files import read_recipe
from training.run_directory import STEP_NAMES
from training.step import StepContext

DEADLINE_SECONDS = 120
# A child that computes on as many threads as this process adds up in the same order.
ONE_THREAD = os.environ | {"OMP_NUM_THREADS": "1"}
STAGE = {"learns": "whole", "batch_size": 8, "optimiser": "adamw", "learning_rate": 0.001}

PRETRAIN_RECIPE = """
seed = 7
bundle = { name = "tiny", version = "0.0.1", training_data = "drawings", licence = "Apache-2.0" }
data = { train = 0.4, select = 0.2, calibrate = 0.2, test = 0.2 }
preprocessing = { size = 32 }
network = { architecture = "resnet18", hidden = 8, dropout = 0.1 }
pretrain = { size = 32, epochs = 2, batch_size = 24, optimiser = "adamw", learning_rate = 0.001, ema_decay = 0.9 }
head = { epochs = 3, batch_size = 8, optimiser = "sgd", learning_rate = 0.01 }
finetune = [{ learns = "last_block", epochs = 1, batch_size = 8, optimiser = "sgd", learning_rate = 0.01 }]
scratch = [{ learns = "whole", epochs = 1, batch_size = 8, optimiser = "sgd", learning_rate = 0.01 }]
"""


def averaged_recipe() -> Recipe:
    """Return a recipe with a shared stage, a stage of each of two members at another size, findings and dropout."""
    return tiny_recipe(
        network={"findings": ["Mass", "Nodule"]},
        loss={"findings_weight": 1.0},
        scratch=[
            STAGE | {"epochs": 2, "ema_decay": 0.9, "patience": 2},
            STAGE | {"epochs": 1, "size": 48, "backbone_learning_rate": 0.0005, "layer_decay": 0.7, "clip_norm": 1.0},
        ],
        averaging={"members": 2},
    )


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_collection(tmp_path_factory.mktemp("data"), patients=24, pixels=64)


def prepared(root: Path, data: Path, recipe: Recipe, init: Path | None = None) -> StepContext:
    """Return a run whose steps before the fine-tuning are finished."""
    context = context_of(root, recipe, data, init=init)
    for name in STEP_NAMES[: STEP_NAMES.index("finetune")]:
        run_step(context, name)
    return context


def network_of(context: StepContext) -> dict[str, torch.Tensor]:
    state: dict[str, torch.Tensor] = torch.load(context.run.network, weights_only=True)
    return state


def lines_of(context: StepContext) -> list[dict[str, float]]:
    return [json.loads(line) for line in context.run.history.read_text().splitlines()]


def train_until_killed(arguments: list[str], *, after: str) -> None:
    """Run cxr-train as a process that is killed as soon as it has written the checkpoint ``after``."""
    command = [sys.executable, "-m", "tests.support.dying_training", after, *arguments, "--threads", "1"]
    ended = subprocess.run(command, env=ONE_THREAD, check=False, timeout=DEADLINE_SECONDS)
    assert ended.returncode == -signal.SIGKILL


def test_a_fine_tuning_killed_twice_ends_bitwise_as_if_undisturbed(data: Path, tmp_path: Path) -> None:
    undisturbed = prepared(tmp_path / "undisturbed", data, averaged_recipe())
    assert run_step(undisturbed, "finetune")
    killed = prepared(tmp_path / "killed", data, averaged_recipe())
    checkpoints = killed.run.root / ".finetune.checkpoints"
    for checkpoint in ("member-0-stage-1", "member-1-stage-2-done"):
        train_until_killed(["step", "finetune", "--out", str(killed.run.root)], after=checkpoint)
        assert (checkpoints / f"{checkpoint}.pt").exists()
    assert killed.run.key("finetune") is None
    assert run_step(killed, "finetune")
    first, second = network_of(undisturbed), network_of(killed)
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not checkpoints.exists()
    places = [(line.get("member"), line.get("stage"), line.get("number")) for line in lines_of(killed)]
    assert places == [(0, 1, 1), (0, 1, 2), (1, 2, 1), (2, 2, 1), (None, None, None)]
    assert [line["loss"] for line in lines_of(killed)[:-1]] == [line["loss"] for line in lines_of(undisturbed)[:-1]]
    average = lines_of(killed)[-1]
    assert average["average_of"] == 2
    assert {"member_select_aucs", "select_auc", "findings_auc"} <= set(average)


def test_members_without_a_network_in_common_are_refused(data: Path, tmp_path: Path) -> None:
    context = prepared(tmp_path, data, tiny_recipe(averaging={"members": 3}))
    with pytest.raises(RecipeError, match=r"averaging\.members is 3, but the members have no network in common"):
        run_step(context, "finetune")


def test_two_processes_train_one_network(data: Path, tmp_path: Path) -> None:
    recipe = tiny_recipe(
        network={"findings": ["Mass", "Nodule"], "any_finding": False, "age_sex": True},
        loss={"any_weight": 0.0, "findings_weight": 1.0, "class_weights": "frequency"},
        scratch={"schedule": "plateau", "monitor": "loss"},
    )
    context = prepared(tmp_path / "run", data, recipe)
    torch.manual_seed(context.order.recipe.seed)
    untrained = TriageNetwork(context.order.recipe.network, size=32).state_dict()
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    ended = subprocess.run(
        [*command, "-m", "tests.support.shared_finetune", str(context.run.root)],
        env=ONE_THREAD,
        capture_output=True,
        text=True,
        check=False,
        timeout=DEADLINE_SECONDS,
    )
    assert ended.returncode == 0, ended.stderr
    state = network_of(context)
    assert all(torch.isfinite(tensor).all() for tensor in state.values())
    assert not torch.equal(state["head.0.weight"], untrained["head.0.weight"])
    lines = lines_of(context)
    assert [line["number"] for line in lines] == [1, 2]
    assert all(line["films_per_second"] > 0 for line in lines)


def test_pretraining_killed_and_resumed_makes_weights_that_a_run_starts_from(data: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(PRETRAIN_RECIPE)
    out = tmp_path / "backbone.pth"
    arguments = ["pretrain", str(recipe), "--films", str(data), "--out", str(out)]
    train_until_killed(arguments, after="pretrain")
    checkpoint = tmp_path / ".backbone.pth.work" / "checkpoints" / "pretrain.pt"
    assert checkpoint.exists()
    assert not out.exists()
    pretrain(
        PretrainContext(
            recipe=read_recipe(recipe),
            films=data,
            output=out,
            console=Console(file=io.StringIO()),
            device=torch.device("cpu"),
            ranks=ALONE,
        )
    )
    facts = json.loads(out.with_suffix(".json").read_text())
    assert (facts["films"], facts["sha256"]) == (48, weights_sha256(out))
    assert not checkpoint.parents[1].exists()
    context = context_of(tmp_path / "run", tiny_recipe(), data, init=out)
    context = replace(context, order=context.order.model_copy(update={"init_sha256": weights_sha256(out)}))
    for name in ("manifest", "pixels", "features", "head"):
        assert run_step(context, name)
    assert context.run.head.exists()
