"""What a finished run says of itself in the table of a sweep: its size, its time, and figures of the epoch it kept.

Reads the files of a run directory; runs nothing. Every figure of test films is that of the run's own ``report.json``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeAlias

from training.learning.stages import stages_of
from training.recipe import FitRecipe
from training.run_directory import Order, RunDirectory

Line: TypeAlias = Mapping[str, Any]

# What a recipe watches, by its name in a line of a history.
HISTORY_KEYS: Final[Mapping[str, str]] = {
    "auc": "select_auc",
    "findings_auc": "findings_auc",
    "loss": "select_loss",
    "accuracy": "select_accuracy",
    "recall": "select_recall",
}


def run_figures(run: RunDirectory) -> dict[str, Any]:
    """Return ``parameters``, ``seconds`` and the figures ``train``, ``select`` and ``test`` of an evaluated run.

    ``seconds`` is what learning took, validation included; decoding, export and evaluation are not in it. ``train`` and
    ``select`` are those of the kept epoch, all ``None`` but for the AUCs where the run averaged several members.
    """
    order, report = run.read_order(), json.loads(run.report.read_text(encoding="utf-8"))
    head, finetune = _lines(run.head_history), _lines(run.history)
    kept = kept_line(head, finetune, order)
    test = report["test"]
    return {
        "architecture": order.recipe.network.architecture,
        "class_weights": order.recipe.loss.class_weights,
        "parameters": report["network"]["parameters"],
        "seconds": round(sum(line.get("seconds", 0.0) for line in (*head, *finetune)), 1),
        "train": {"loss": kept.get("loss"), "accuracy": kept.get("accuracy")},
        "select": {
            **{figure: kept.get(key) for figure, key in HISTORY_KEYS.items()},
            "epoch": kept.get("number"),
        },
        "test": {
            "films": test["films"],
            "auc": test["auc"],
            "multilabel": report["multilabel"],
            "half": test["operating_points"]["half"],
            "normal_as_positive": report["normal_as_positive"],
        },
    }


def kept_line(head: Sequence[Line], finetune: Sequence[Line], order: Order) -> Line:
    """Return the history's line of the epoch whose weights the run went on with.

    That is the line of the average where members were averaged; else of the last stage, its last epoch or its best one,
    as the stage says. Of equal epochs the later is kept.
    """
    if finetune:
        last = finetune[-1]
        if "average_of" in last:
            return last
        stages = stages_of(order.recipe, has_weights=order.init is not None)
        return _kept([line for line in finetune if line["stage"] == last["stage"]], stages[last["stage"] - 1])
    assert order.recipe.head is not None, "a run that learnt nothing has no evaluation"
    return _kept(head, order.recipe.head)


def _kept(lines: Sequence[Line], recipe: FitRecipe) -> Line:
    if recipe.keep == "last":
        return lines[-1]
    key, sign = HISTORY_KEYS[recipe.monitor], -1 if recipe.monitor == "loss" else 1
    return max(lines, key=lambda line: (sign * line[key], line["number"]))


def _lines(path: Path) -> list[Line]:
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
