"""Training runs that take seconds: a small network on a small drawn collection, through the real steps."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any, TypeAlias

import torch
from rich.console import Console

from training.recipe import Recipe
from training.recipe_files import parse_recipe
from training.run_directory import Order, RunDirectory
from training.step import StepContext

Section: TypeAlias = dict[str, Any] | list[dict[str, Any]]

TINY: dict[str, Any] = {
    "seed": 7,
    "bundle": {"name": "tiny-trained", "version": "0.0.1", "training_data": "drawings", "licence": "Apache-2.0"},
    "data": {"train": 0.4, "select": 0.2, "calibrate": 0.2, "test": 0.2},
    "preprocessing": {"size": 32},
    "network": {"architecture": "resnet18", "hidden": 8, "dropout": 0.1},
    "augmentation": {"degrees": 5, "shift": 0.03},
    "head": {"epochs": 3, "batch_size": 8, "optimiser": "sgd", "learning_rate": 0.01},
    "finetune": [{"learns": "last_block", "epochs": 1, "batch_size": 8, "optimiser": "sgd", "learning_rate": 0.01}],
    "scratch": [
        {
            "learns": "whole",
            "epochs": 2,
            "batch_size": 8,
            "optimiser": "adamw",
            "learning_rate": 0.001,
            "ema_decay": 0.9,
        }
    ],
    "evaluation": {"bootstrap": 100},
}


def tiny_recipe(**sections: Section) -> Recipe:
    """Return the tiny recipe with some values of its sections replaced; values of a list's section go to its stages.

    A list replaces the whole list.
    """
    document: dict[str, Any] = dict(TINY)
    for name, changes in sections.items():
        before = document.get(name, {})
        if isinstance(changes, list):
            document[name] = changes
        elif isinstance(before, list):
            document[name] = [stage | changes for stage in before]
        else:
            document[name] = before | changes
    return parse_recipe(document, source="tiny")


def context_of(
    root: Path, recipe: Recipe, data: Path, *, init: Path | None = None, to: Path | None = None
) -> StepContext:
    """Order ``recipe`` in ``root`` and return what its steps are handed; what they print is kept off the terminal."""
    run = RunDirectory(root)
    order = Order(recipe=recipe, data=data, init=init, init_sha256=None if init is None else "given")
    run.write_order(order)
    return StepContext(
        run=run,
        order=order,
        console=Console(file=io.StringIO(), width=500),
        device=torch.device("cpu"),
        threads=2,
        destination=to or root / "bundle",
    )


def printed(context: StepContext) -> str:
    """Return what the steps have printed."""
    assert isinstance(context.console.file, io.StringIO)
    return context.console.file.getvalue()
