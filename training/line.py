"""The order of the steps, and which of them still have to run.

A step's key is a digest of its name, of the recipe's sections that it reads, and of the key before it. A step whose
folder carries its key is finished and is not repeated; changing a value repeats the steps from the first that reads it.

``export`` precedes ``threshold`` and ``evaluate``: thresholds are certified, and the test part is scored once, on the
graph that ships.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from model.bundle import read_manifest
from model.errors import BundleError
from model.preprocessing import TENSORS_VERSION
from training.datasets.collection import Collection
from training.datasets.reading import read_collection
from training.errors import DatasetError, RunError
from training.provenance import code_commit
from training.run_directory import STEP_NAMES, RunDirectory
from training.step import StepContext, StepFunction
from training.steps import evaluate, export, features, finetune, head, manifest, pixels, publish, threshold


class State(StrEnum):
    """Whether a step is finished: with the inputs that are ordered now, with others, or not at all."""

    FINISHED = "yes"
    OUTDATED = "outdated"
    MISSING = "no"


@dataclass(frozen=True, kw_only=True)
class Step:
    """A step, and the sections of the recipe that can change what it writes.

    Besides these ``sizes``, those of all stages, and ``tensors``, the version of what films become.
    """

    name: str
    run: StepFunction
    sections: tuple[str, ...] = ()
    uses_init: bool = False


STEPS = (
    Step(name="manifest", run=manifest.run, sections=("data", "seed"), uses_init=True),
    Step(name="pixels", run=pixels.run, sections=("preprocessing", "sizes", "tensors")),
    # Which machines extract features is no input: they agree to 1e-5, and neither are torch's devices.
    Step(name="features", run=features.run, sections=("network", "features"), uses_init=True),
    Step(name="head", run=head.run, sections=("head", "loss", "seed")),
    Step(
        name="finetune",
        run=finetune.run,
        sections=("finetune", "scratch", "loss", "augmentation", "averaging"),
        uses_init=True,
    ),
    Step(name="export", run=export.run, sections=("export", "gate")),
    Step(name="threshold", run=threshold.run, sections=("threshold",)),
    # The report repeats what the bundle says of itself.
    Step(name="evaluate", run=evaluate.run, sections=("evaluation", "bundle")),
    Step(name="publish", run=publish.run, sections=("bundle",)),
)
assert tuple(step.name for step in STEPS) == STEP_NAMES


def run_line(context: StepContext, *, until: str = STEP_NAMES[-1], others: Sequence[RunDirectory] = ()) -> list[str]:
    """Run every step up to ``until`` that is not finished, in order; return the names of those that ran.

    A step that one of the ``others`` finished with the same inputs is taken over from there instead.

    Raises
    ------
    TrainingError
        As the steps do; what was finished before stays.
    """
    ran = []
    for step, key in keys_of(context, _read(context).fingerprint):
        if _is_finished(context, step, key):
            context.console.print(f"{step.name}: finished earlier, kept")
        elif (other := _adopted(context, step, key, others)) is not None:
            context.console.print(f"{step.name}: the same as in {other.root.name}, taken from there", markup=False)
        else:
            _run_step(context, step, key)
            ran.append(step.name)
        if step.name == until:
            break
    return ran


def run_step(context: StepContext, name: str) -> bool:
    """Run one step whose predecessors are finished; return whether it had to run.

    Raises
    ------
    RunError
        If an earlier step is not finished with the inputs of this run.
    """
    fingerprint = _read(context).fingerprint if name == STEP_NAMES[0] else _recorded_fingerprint(context)
    if fingerprint is None:
        raise RunError(f"step '{name}' needs step '{STEP_NAMES[0]}', which is not finished in {context.run.root}")
    for step, key in keys_of(context, fingerprint):
        is_finished = _is_finished(context, step, key)
        if step.name == name:
            if not is_finished:
                _run_step(context, step, key)
            return not is_finished
        if not is_finished:
            raise RunError(f"step '{name}' needs step '{step.name}', which is not finished in {context.run.root}")
    raise RunError(f"there is no step '{name}'; the steps are {', '.join(STEP_NAMES)}")


def states(context: StepContext) -> Iterator[tuple[str, State]]:
    """Yield the name and state of each step: what ``run_line`` would keep and what it would repeat.

    The films are read again; where they cannot be, those that the run was made from are taken for unchanged.
    """
    try:
        fingerprint = _read(context).fingerprint
    except DatasetError as error:
        fingerprint = _recorded_fingerprint(context) or ""
        context.console.print(f"films as recorded, because they cannot be read now: {error}", markup=False)
    for step, key in keys_of(context, fingerprint):
        if _is_finished(context, step, key):
            yield step.name, State.FINISHED
        else:
            yield step.name, State.MISSING if context.run.key(step.name) is None else State.OUTDATED


def _read(context: StepContext) -> Collection:
    """Read the collection; refuse a finding that none of its films carries, which no network could learn."""
    recipe = context.order.recipe
    collection = read_collection(context.order.data, recipe.data)
    carried = {label for sample in collection.samples for label in sample.findings}
    unknown = [label for label in recipe.network.findings if label not in carried]
    if unknown:
        raise DatasetError(
            f"network.findings names {', '.join(unknown)}, which no film of {context.order.data} carries; "
            f"its films carry: {', '.join(sorted(carried))}"
        )
    return collection


def _recorded_fingerprint(context: StepContext) -> str | None:
    """Return the fingerprint of the films that the manifest was made from, ``None`` where there is no manifest."""
    if not context.run.provenance.exists():
        return None
    fingerprint: str = json.loads(context.run.provenance.read_text(encoding="utf-8"))["data_fingerprint"]
    return fingerprint


def keys_of(context: StepContext, fingerprint: str) -> Iterator[tuple[Step, str]]:
    """Yield each step with the digest of its inputs, for films with ``fingerprint``."""
    recipe, facts = context.order.recipe, context.order.init_facts
    values = {**recipe.model_dump(mode="json"), "sizes": recipe.sizes, "tensors": TENSORS_VERSION}
    key = fingerprint
    for step in STEPS:
        inputs = {
            "before": key,
            "step": step.name,
            "recipe": {section: values[section] for section in step.sections},
            "init_sha256": context.order.init_sha256 if step.uses_init else None,
            # Facts may come later than the weights they describe, and the manifest records both.
            "init_facts": facts.model_dump(mode="json") if facts is not None and step.uses_init else None,
            "destination": str(context.destination) if step.name == "publish" else None,
        }
        key = hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()
        yield step, key


def _is_finished(context: StepContext, step: Step, key: str) -> bool:
    is_there = step.run is not publish.run or _is_published(context)
    return is_there and context.run.key(step.name) == key


def _is_published(context: StepContext) -> bool:
    """Return whether the destination holds the bundle that this run put there.

    It lies outside of the step's folder: whoever removed it wants it again, and another run may have published there.
    """
    try:
        digest: str = json.loads(context.run.published.read_text(encoding="utf-8"))["digest"]
        return read_manifest(context.destination)[1] == digest
    except (OSError, BundleError):
        return False


def _adopted(context: StepContext, step: Step, key: str, others: Sequence[RunDirectory]) -> RunDirectory | None:
    """Take the step over from the first of ``others`` that finished it with ``key``, and return that one."""
    if step.run is publish.run:
        return None
    return next((other for other in others if context.run.adopt(step.name, other, key)), None)


def _run_step(context: StepContext, step: Step, key: str) -> None:
    began = time.perf_counter()
    try:
        with context.run.writing(step.name, key, commit=code_commit()) as output:
            # The key goes along: a step that keeps checkpoints may resume only from those of the same inputs.
            step.run(replace(context, key=key), output)
    except OSError as error:
        raise RunError(f"step '{step.name}' failed: {error}") from error
    context.console.print(f"{step.name}: {time.perf_counter() - began:.1f} s")
