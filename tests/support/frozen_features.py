"""Runs whose films are decoded and whose frozen network is drawn: all that the step ``features`` needs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch

from tests.support.training_runs import context_of
from training.networks.network import TriageNetwork
from training.provenance import weights_sha256
from training.recipe import Recipe
from training.step import StepContext
from training.steps import manifest, pixels


def decoded_run(root: Path, recipe: Recipe, data: Path) -> StepContext:
    """Return a run in ``root`` after its steps ``manifest`` and ``pixels``, with random weights to freeze."""
    torch.manual_seed(recipe.seed)
    init = root / "backbone.pth"
    root.mkdir(parents=True, exist_ok=True)
    torch.save(TriageNetwork(recipe.network, size=recipe.preprocessing.size).backbone.state_dict(), init)
    context = context_of(root / "run", recipe, data, init=init)
    context = replace(context, order=context.order.model_copy(update={"init_sha256": weights_sha256(init)}))
    run_alone(context, "manifest", manifest.run)
    run_alone(context, "pixels", pixels.run)
    return context


def run_alone(context: StepContext, name: str, function: Callable[[StepContext, Path], None]) -> None:
    """Run one step into its folder, whole or not at all, whatever the line thinks of its inputs."""
    with context.run.writing(name, "alone", commit="none") as output:
        function(context, output)
