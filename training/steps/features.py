"""Third step: report 002's bottleneck features; the frozen network sees each film once, the head learns in seconds.

Spark extracts them where the run was given a master (report 004), else this process; the file is the same.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from training.datasets.caches import flush, reserve
from training.datasets.films import tensor_batches
from training.datasets.labels import Table
from training.datasets.sample import read_samples
from training.extraction.extract import BATCH_FILMS, extract, is_mirrored
from training.networks.network import TriageNetwork
from training.networks.weights import load_backbone
from training.progress import track
from training.provenance import require_same_weights
from training.step import StepContext


def run(context: StepContext, output: Path) -> None:
    """Write ``features.npy``, ``(n, d)`` float32 in the order of the samples; nothing where no weights were given.

    Features of random weights would teach the head nothing worth the wait, so that a run without ``--init`` trains the
    whole network from scratch instead. Where Spark extracts, ``features.parquet``, ``unreadable.csv`` and ``spark.log``
    stand beside it.

    Raises
    ------
    RecipeError
        If the ``--init`` file does not fit the network.
    RunError
        If it is no longer the file that was ordered, or the disk has no room.
    SparkError
        If Spark was asked for and cannot do it.
    """
    order = context.order
    if order.init is None:
        context.console.print("  no weights given: nothing to freeze")
        return
    network = TriageNetwork(order.recipe.network, size=order.recipe.preprocessing.size)
    require_same_weights(order.init, order.init_sha256)
    load_backbone(network, order.init)
    network.eval().to(context.device)
    table = read_samples(context.run.samples)
    mirrored = np.array(
        [is_mirrored(film.id, part, flip=order.recipe.features.flip, seed=order.recipe.seed) for film, part in table]
    )
    features = reserve(output / context.run.features.name, (len(table), network.width), np.float32)
    if context.spark is None:
        _extract_here(context, network, table, mirrored, features)
    else:
        # Only who has the extra `spark` can import it.
        from training.extraction.spark import extract_on_spark

        extract_on_spark(context, network, table, mirrored, features, output)
    flush(features)


def _extract_here(
    context: StepContext,
    network: TriageNetwork,
    table: Table,
    mirrored: NDArray[np.bool_],
    features: NDArray[np.float32],
) -> None:
    cache = context.run.tensors(context.order.recipe.preprocessing.size)
    batches = tensor_batches(cache, range(len(table)), size=BATCH_FILMS)
    total = math.ceil(len(table) / BATCH_FILMS)
    for number, films in enumerate(track(batches, total=total, label="frozen features", console=context.console)):
        rows = slice(number * BATCH_FILMS, number * BATCH_FILMS + len(films))
        features[rows] = extract(network, films, mirrored[rows])
