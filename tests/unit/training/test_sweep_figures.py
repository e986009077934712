"""The epoch that a sweep's table speaks of is the one whose weights the run went on with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.support.training_runs import Section, tiny_recipe
from training.run_directory import Order
from training.sweep_figures import kept_line

STAGE = {"learns": "whole", "epochs": 3, "batch_size": 8, "optimiser": "sgd", "learning_rate": 0.1}
HEAD = {"epochs": 3, "batch_size": 8, "optimiser": "sgd", "learning_rate": 0.1}


def order(*, init: bool = False, **sections: Section) -> Order:
    weights = Path("weights.pth") if init else None
    return Order(recipe=tiny_recipe(**sections), data=Path("data"), init=weights, init_sha256=None)


def lines(stage: int, aucs: list[float], losses: list[float]) -> list[dict[str, Any]]:
    return [
        {"member": 0, "stage": stage, "number": number, "select_auc": auc, "select_loss": loss}
        for number, (auc, loss) in enumerate(zip(aucs, losses, strict=True), start=1)
    ]


def test_the_best_epoch_by_what_the_stage_watches_is_the_kept_one_and_of_equals_the_later() -> None:
    history = lines(1, [0.7, 0.9, 0.9, 0.8], [0.5, 0.6, 0.7, 0.4])
    assert kept_line([], history, order(scratch=[STAGE]))["number"] == 3
    assert kept_line([], history, order(scratch=[STAGE | {"monitor": "loss"}]))["number"] == 4
    assert kept_line([], history, order(scratch=[STAGE | {"keep": "last"}]))["number"] == 4


def test_only_the_last_stage_counts() -> None:
    history = [*lines(1, [0.9], [0.1]), *lines(2, [0.6, 0.5], [0.3, 0.2])]
    assert kept_line([], history, order(scratch=[STAGE, STAGE]))["select_auc"] == 0.6
    last = order(init=True, finetune=[STAGE, STAGE | {"keep": "last"}])
    assert kept_line(lines(1, [1.0], [0.0]), history, last)["select_auc"] == 0.5


def test_without_stages_the_head_speaks() -> None:
    history = lines(1, [0.5, 0.6, 0.4], [0.3, 0.4, 0.2])
    assert kept_line(history, [], order(init=True, finetune=[], head=HEAD | {"monitor": "loss"}))["number"] == 3


def test_an_average_speaks_for_its_members() -> None:
    history = [*lines(1, [0.9], [0.1]), {"average_of": 2, "select_auc": 0.8, "findings_auc": None}]
    assert kept_line([], history, order())["select_auc"] == 0.8
