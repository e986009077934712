"""Third step: report 002's bottleneck features; the frozen network sees each film once, the head learns in seconds."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import torch

from training.datasets.films import tensor_batches
from training.datasets.sample import read_samples
from training.learning.network import TriageNetwork, load_backbone
from training.progress import track
from training.provenance import require_same_weights
from training.step import StepContext

_BATCH = 64


def run(context: StepContext, output: Path) -> None:
    """Write ``features.npy``, ``(n, d)`` float32 in the order of the samples; nothing where no weights were given.

    Features of random weights would teach the head nothing worth the wait, so that a run without ``--init`` trains the
    whole network in ``finetune`` instead.

    Raises
    ------
    RecipeError
        If the ``--init`` file does not fit the network.
    RunError
        If it is no longer the file that was ordered.
    """
    order = context.order
    if order.init is None:
        context.console.print("  no weights given: nothing to freeze")
        return
    network = TriageNetwork(order.recipe.network)
    require_same_weights(order.init, order.init_sha256)
    load_backbone(network, order.init)
    network.eval().to(context.device)
    count = len(read_samples(context.run.samples))
    batches = tensor_batches(context.run.tensors(order.recipe.preprocessing.size), range(count), size=_BATCH)
    bar = track(batches, total=math.ceil(count / _BATCH), label="frozen features", console=context.console)
    with torch.inference_mode():
        found = [network.features(torch.from_numpy(films).to(context.device)).cpu().numpy() for films in bar]
    np.save(output / context.run.features.name, np.concatenate(found))
