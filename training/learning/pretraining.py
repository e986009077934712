"""Self-supervised pretraining: films without labels in, a weights file of the backbone and its sidecar out.

Its own walk beside the line of steps. What it resumes from after a kill lies in a hidden folder beside the weights.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from torch import Tensor
from torch.nn.utils import convert_conv2d_weight_memory_format

from model.preprocessing import PreprocessingSpec
from training.checkpoint import Checkpoints
from training.datasets.collection import Notices, print_remarks
from training.datasets.films import FilmSource, film_tensors
from training.datasets.twins import without_twins
from training.datasets.unlabelled import unlabelled_films
from training.errors import DatasetError, RecipeError, RunError
from training.learning.fitting import Surroundings, fit
from training.learning.gradient_task import GradientPredictor, MaskedGradients
from training.learning.task import Epoch
from training.networks.network import TriageNetwork
from training.networks.states import save_state
from training.progress import progress_bar, track
from training.provenance import code_commit, library_versions, weights_sha256
from training.ranks import Ranks, synchronised
from training.recipe import PretrainRecipe, Recipe
from training.run_directory import RunDirectory
from training.weights_facts import WeightsFacts, sidecar_of

METHOD = "prediction of the oriented gradients of partly hidden films"


@dataclass(frozen=True, kw_only=True)
class PretrainContext:
    """A recipe with a ``pretrain`` section, the folder of films, where the weights go, and the machine.

    ``apart_from`` is a folder whose films must not be learnt from: the labelled collection that the network is to be
    tested on.
    """

    recipe: Recipe
    films: Path
    output: Path
    apart_from: Path | None = None
    console: Console
    device: torch.device
    ranks: Ranks


def pretrain(context: PretrainContext) -> None:
    """Write the weights and beside them their sidecar; one that was killed goes on where it was.

    Raises
    ------
    RecipeError
        If the recipe has no ``pretrain`` section, or one with a schedule that nothing here can steer.
    DatasetError
        If the folder holds no films, or one of them cannot be decoded.
    RunError
        If the weights exist, or another process is making them.
    TrainingDiverged
        If the loss is no number.
    """
    recipe = context.recipe.pretrain
    if recipe is None:
        raise RecipeError("the recipe has no [pretrain] section")
    if recipe.schedule == "plateau":
        raise RecipeError('pretrain.schedule is "plateau", which watches select films; without labels there are none')
    work = RunDirectory(context.output.with_name(f".{context.output.name}.work"))
    if not context.ranks.leads:
        _fitted(context, recipe, work.root)
        return
    if context.output.exists():
        raise RunError(f"{context.output} exists; give another name, or remove it")
    with work.locked(create=True):
        try:
            _write(context, recipe, work.root)
        except OSError as error:
            raise RunError(f"the pretraining failed: {error}") from error
        shutil.rmtree(work.root)


def _write(context: PretrainContext, recipe: PretrainRecipe, work: Path) -> None:
    remarks = Notices()
    found = unlabelled_films(context.films, remarks)
    print_remarks(remarks, context.console)
    paths = found if context.apart_from is None else without_twins(found, context.apart_from, context.console)
    context.console.print(f"  {len(paths)} films to learn from; {len(found) - len(paths)} left out as known elsewhere")
    _cache(context, recipe, paths, work)
    state, last = _fitted(context, recipe, work)
    partial = context.output.with_name(f".{context.output.name}.partial")
    save_state(state, partial)
    with partial.open("rb") as file:
        os.fsync(file.fileno())
    films = _cached(work)
    facts = WeightsFacts(
        method=METHOD,
        films=len(films),
        films_sha256=hashlib.sha256(films.data).hexdigest(),
        twins_left_out=None if context.apart_from is None else len(found) - len(paths),
        recipe=recipe.model_dump(mode="json"),
        recipe_sha256=context.recipe.sha256,
        seed=context.recipe.seed,
        final_loss=last.loss,
        commit=code_commit(),
        libraries=library_versions(),
        sha256=weights_sha256(partial),
    )
    sidecar_of(context.output).write_text(facts.model_dump_json(indent=2) + "\n", encoding="utf-8")
    partial.replace(context.output)


def _cache(context: PretrainContext, recipe: PretrainRecipe, paths: Sequence[Path], work: Path) -> None:
    """Decode every film once into ``films.npy``; kept if it was finished for the very same films."""
    if len(paths) < 2:
        raise DatasetError(f"{context.films} holds {len(paths)} films without labels")
    listed = [(str(path.relative_to(context.films)), path.stat().st_size) for path in paths]
    key = hashlib.sha256(json.dumps([recipe.size, listed]).encode()).hexdigest()
    stamp = work / "films.key"
    if stamp.exists() and stamp.read_text(encoding="utf-8") == key:
        return
    stamp.unlink(missing_ok=True)
    shape = (len(paths), 1, recipe.size, recipe.size)
    cache = np.lib.format.open_memmap(work / "films.npy", mode="w+", dtype=np.uint8, shape=shape)
    with (work / "films.npy").open("r+b") as file:
        # A full disk is an error now; found only while writing to a sparse map, it would end the process by a signal.
        os.posix_fallocate(file.fileno(), 0, cache.offset + cache.nbytes)
    tensors = film_tensors([FilmSource(path) for path in paths], [PreprocessingSpec(size=recipe.size)])
    bar = track(tensors, total=len(paths), label="decoding films", console=context.console, unit="films")
    for row, (tensor,) in enumerate(bar):
        cache[row] = tensor
    cache.flush()
    stamp.write_text(key, encoding="utf-8")


def _cached(work: Path) -> NDArray[np.uint8]:
    films: NDArray[np.uint8] = np.load(work / "films.npy", mmap_mode="r", allow_pickle=False)
    return films


def _fitted(context: PretrainContext, recipe: PretrainRecipe, work: Path) -> tuple[dict[str, Tensor], Epoch]:
    """Return the backbone's state and the last epoch; every rank comes here, once rank 0 has cached the films."""
    with context.ranks.together(_key(context.recipe, work) if context.ranks.leads else "") as key:
        return _learnt(context, recipe, work, key)


def _learnt(context: PretrainContext, recipe: PretrainRecipe, work: Path, key: str) -> tuple[dict[str, Tensor], Epoch]:
    torch.manual_seed(context.recipe.seed)
    predictor = GradientPredictor(TriageNetwork(context.recipe.network, size=recipe.size))
    convert_conv2d_weight_memory_format(predictor, torch.channels_last)
    network = synchronised(predictor.to(context.device), context.ranks)
    task = MaskedGradients(
        _cached(work),
        recipe,
        gray_mean=context.recipe.network.gray_mean,
        seed=context.recipe.seed,
        ranks=context.ranks,
        device=context.device,
    )
    epochs: list[Epoch] = []
    total = recipe.epochs * task.films_per_epoch
    with progress_bar(total=total, label="pretraining", console=context.console, unit="films") as advance:

        def finished(epoch: Epoch) -> None:
            epochs.append(epoch)
            advance(f"epoch {epoch.number} of {recipe.epochs}: {epoch.note()}", by=0)

        around = Surroundings(
            name="pretrain",
            seed=context.recipe.seed,
            ranks=context.ranks,
            checkpoints=Checkpoints(
                folder=work / "checkpoints",
                key=context.ranks.keyed(key),
                say=context.console.print,
                writes=context.ranks.leads,
            ),
            finished=finished,
            passed=lambda films: advance(by=films),
        )
        state = fit(network, recipe, task, around)
    prefix = "network.backbone."
    return {name[len(prefix) :]: value for name, value in state.items() if name.startswith(prefix)}, epochs[-1]


def _key(recipe: Recipe, work: Path) -> str:
    assert recipe.pretrain is not None
    values = {
        "films": (work / "films.key").read_text(encoding="utf-8"),
        "pretrain": recipe.pretrain.model_dump(mode="json"),
        "network": recipe.network.model_dump(mode="json"),
        "seed": recipe.seed,
    }
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()
