"""Fifth step: convolutions learn; after given weights only the last block, as in report 002, else the whole network."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import nn
from torch.nn.utils import convert_conv2d_weight_memory_format

from training.augmentation import augment
from training.datasets.sample import Part, read_samples
from training.films import read_tensors
from training.fitting import Batch, Epoch, fit, shuffled_batches
from training.labels import area_under_curve, labels_of, rows_of
from training.network import TriageNetwork, freeze_below_last_block, load_backbone, save_state
from training.progress import progress_bar
from training.provenance import require_same_weights
from training.recipe import FitRecipe
from training.step import StepContext

_VALIDATION_BATCH = 64


def run(context: StepContext, output: Path) -> None:
    """Write ``network.pt``, the epoch that the recipe keeps, and ``history.jsonl``, one line an epoch.

    Raises
    ------
    RecipeError
        If the ``--init`` file does not fit the network.
    RunError
        If it is no longer the file that was ordered.
    TrainingDiverged
        If loss or AUC are no numbers.
    """
    recipe = context.order.recipe
    fit_recipe = recipe.scratch if context.order.init is None else recipe.finetune
    films = _Films(context, fit_recipe)
    history = output / context.run.history.name
    with progress_bar(total=fit_recipe.epochs, label="fine-tuning", console=context.console) as advance:

        def finished(epoch: Epoch) -> None:
            with history.open("a", encoding="utf-8") as file:
                file.write(json.dumps(epoch.as_dict()) + "\n")
            advance(epoch.note())

        state = fit(
            _initial_network(context),
            fit_recipe,
            batches=films.batches,
            batches_per_epoch=films.batches_per_epoch,
            validate=films.validate,
            finished=finished,
        )
    save_state(state, output / context.run.network.name)


class _Films:
    """Augmented batches of the train part, and the AUC on the select part."""

    def __init__(self, context: StepContext, fit_recipe: FitRecipe) -> None:
        recipe = context.order.recipe
        table = read_samples(context.run.samples)
        self._labels = torch.from_numpy(labels_of(table))
        self._train = rows_of(table, Part.TRAIN, leave_out_disputed=recipe.data.leave_out_disputed)
        self._select = rows_of(table, Part.SELECT, leave_out_disputed=recipe.data.leave_out_disputed)
        self._select_films = torch.from_numpy(read_tensors(context.run.tensors, self._select))
        self._context, self._fit_recipe = context, fit_recipe

    @property
    def batches_per_epoch(self) -> int:
        return len(self._shuffled(0))

    def batches(self, epoch: int) -> Iterator[Batch]:
        recipe, device = self._context.order.recipe, self._context.device
        generator = torch.Generator().manual_seed(recipe.seed * 100_003 + epoch)
        for picked in self._shuffled(epoch):
            rows = [self._train[index] for index in picked]
            films = torch.from_numpy(read_tensors(self._context.run.tensors, rows))
            augmented = augment(films, recipe.augmentation, generator)
            yield augmented.to(device, memory_format=torch.channels_last), self._labels[rows].to(device)

    def validate(self, network: nn.Module) -> float:
        device, bf16 = self._context.device, self._fit_recipe.bf16
        batches = torch.split(self._select_films, _VALIDATION_BATCH)
        with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=bf16):
            logits = [network(films.to(device)) for films in batches]
        return area_under_curve(self._labels[self._select], torch.cat(logits))

    def _shuffled(self, epoch: int) -> list[torch.Tensor]:
        seed = self._context.order.recipe.seed
        return shuffled_batches(len(self._train), self._fit_recipe.batch_size, seed=seed, epoch=epoch)


def _initial_network(context: StepContext) -> TriageNetwork:
    torch.manual_seed(context.order.recipe.seed)
    network = TriageNetwork(context.order.recipe.network)
    if context.order.init is not None:
        require_same_weights(context.order.init, context.order.init_sha256)
        load_backbone(network, context.order.init)
        network.head.load_state_dict(torch.load(context.run.head, map_location="cpu", weights_only=True))
        freeze_below_last_block(network)
    # Convolutions of bf16 on films laid out channels-last are the fast ones, on CPUs with AMX as on GPUs.
    convert_conv2d_weight_memory_format(network, torch.channels_last)
    return network.to(context.device)
