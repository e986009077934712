"""Training runs that take seconds: a small network on a small drawn collection, through the real steps."""

from __future__ import annotations

import io
from pathlib import Path

import torch
from rich.console import Console

from training.recipe import Recipe, parse_recipe
from training.run_directory import Order, RunDirectory
from training.step import StepContext

TINY = {
    "seed": 7,
    "bundle": {"name": "tiny-trained", "version": "0.0.1", "training_data": "drawings", "licence": "Apache-2.0"},
    "data": {"train": 0.4, "select": 0.2, "calibrate": 0.2, "test": 0.2},
    "preprocessing": {"size": 32},
    "network": {"architecture": "resnet18", "hidden": 8, "dropout": 0.1},
    "augmentation": {"degrees": 5, "shift": 0.03},
    "head": {"epochs": 3, "batch_size": 8, "optimiser": "sgd", "learning_rate": 0.01},
    "finetune": {"epochs": 1, "batch_size": 8, "optimiser": "sgd", "learning_rate": 0.01},
    "scratch": {"epochs": 2, "batch_size": 8, "optimiser": "adamw", "learning_rate": 0.001, "ema_decay": 0.9},
    "evaluation": {"bootstrap": 100},
}


def tiny_recipe(**sections: dict[str, object]) -> Recipe:
    """Return the tiny recipe with some values of its sections replaced."""
    document = {key: value | sections.get(key, {}) if isinstance(value, dict) else value for key, value in TINY.items()}
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
        console=Console(file=io.StringIO(), width=200),
        device=torch.device("cpu"),
        threads=2,
        destination=to or root / "bundle",
    )


def printed(context: StepContext) -> str:
    """Return what the steps have printed."""
    assert isinstance(context.console.file, io.StringIO)
    return context.console.file.getvalue()
