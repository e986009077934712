"""From the options of a command to what a run is asked to do, and to what its steps are handed.

torch is imported by the functions that need it, so that ``--help`` answers where the extra ``train`` is not installed.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from training.learning.stages import stages_of
from training.provenance import weights_sha256
from training.recipe import Recipe
from training.run_directory import Order, RunDirectory
from training.weights_facts import read_weights_facts

if TYPE_CHECKING:
    from training.ranks import Ranks
    from training.step import StepContext


@dataclass(frozen=True, kw_only=True)
class Machine:
    """What a command may compute on: torch's device by name, threads (0: their choice), and a Spark master."""

    device: str
    threads: int
    spark: str | None = None


def ordered(recipe: Recipe, data: Path, init: Path | None) -> Order:
    """Return the order for ``recipe``, with the digest of its weights and what their sidecar says of them.

    Paths are resolved, because a later ``step`` may be run from another working directory.

    Raises
    ------
    RunError
        If the weights cannot be read.
    RecipeError
        If their sidecar describes other weights, or the recipe has nothing that learns with (or without) weights.
    """
    stages_of(recipe, has_weights=init is not None)
    return Order(
        recipe=recipe,
        data=data.resolve(),
        init=None if init is None else init.resolve(),
        init_sha256=None if init is None else weights_sha256(init),
        init_facts=None if init is None else read_weights_facts(init),
    )


def require_machine(machine: Machine, ranks: Ranks) -> None:
    """Refuse what this process cannot compute on before anything is decoded or another process waits for it.

    Raises
    ------
    RecipeError
        If torch cannot use the device.
    SparkError
        If a Spark master is asked for and the extra, Java or the master is not there.
    """
    from training.extraction.requirements import require_spark
    from training.machine import chosen_device

    chosen_device(machine.device, ranks)
    if machine.spark is not None:
        require_spark(machine.spark)


def context_of(run_directory: RunDirectory, machine: Machine, *, ranks: Ranks, to: Path | None = None) -> StepContext:
    """Return what the steps of an ordered run are handed; ``to`` is where its bundle goes, if not beside them.

    Raises
    ------
    RunError
        If the directory is no run.
    RecipeError
        If torch cannot use the device.
    """
    from training.machine import chosen_device, console_of, use_threads
    from training.step import StepContext

    use_threads(machine.threads)
    return StepContext(
        run=run_directory,
        order=run_directory.read_order(),
        console=console_of(ranks),
        device=chosen_device(machine.device, ranks),
        threads=machine.threads or (os.cpu_count() or 1),
        destination=to or run_directory.root / "bundle",
        ranks=ranks,
        spark=machine.spark,
    )
