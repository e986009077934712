"""Run directories with drawn films in the files of the first steps, for tests of the steps that learn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import torch

from tests.support.training_runs import context_of
from training.datasets.sample import Part, Sample, write_samples
from training.networks.network import TriageNetwork
from training.provenance import weights_sha256
from training.recipe import Recipe
from training.step import StepContext

FILMS = 48
_PARTS = (Part.TRAIN, Part.TRAIN, Part.TRAIN, Part.SELECT, Part.SELECT, Part.TEST)


def prepared_run(
    root: Path,
    recipe: Recipe,
    *,
    init: Path | None = None,
    age_sex: Callable[[int], tuple[int | None, str | None]] = lambda number: (20 + number, "MF"[number % 2]),
) -> StepContext:
    """Return a run as ``pixels`` leaves it: ``FILMS`` noisy films of a patient each, odd ones with a bright corner.

    Odd films carry Mass, every third of all Nodule too.
    """
    context = context_of(root, recipe, root / "nowhere", init=init)
    if init is not None:
        order = context.order.model_copy(update={"init_sha256": weights_sha256(init)})
        context = replace(context, order=order)
    samples, parts = [], {}
    for number in range(FILMS):
        findings = (("Mass",) if number % 2 else ()) + (("Nodule",) if number % 3 == 0 else ())
        age, sex = age_sex(number)
        name = f"{number}.png"
        samples.append(Sample(id=name, path=Path(name), patient=name, findings=findings, age_years=age, sex=sex))
        parts[name] = _PARTS[number % len(_PARTS)]
    context.run.samples.parent.mkdir(parents=True)
    write_samples(context.run.samples, samples, parts)
    for size in recipe.sizes:
        films = np.random.default_rng(size).integers(0, 120, (FILMS, 1, size, size), dtype=np.uint8)
        films[1::2, :, : size // 2, : size // 2] += 100
        np.save(context.run.tensors(size), films)
    return context


def written_by(step: ModuleType, context: StepContext) -> Path:
    """Run one step, whatever was before it, and return its folder."""
    name = step.__name__.rpartition(".")[2]
    with context.run.writing(name, "key", commit="none") as output:
        step.run(context, output)
    return context.run.root / name


def backbone_file(path: Path, recipe: Recipe) -> dict[str, torch.Tensor]:
    """Write weights as ``--init`` takes them and return them."""
    torch.manual_seed(99)
    state = TriageNetwork(recipe.network, size=recipe.preprocessing.size).backbone.state_dict()
    torch.save(state, path)
    return state
