"""What runs in an executor of Spark: films are decoded, preprocessed and put through the frozen network there.

By the functions that serve films and the one that this machine uses (``extract``). A film that does not decode is a row
with an error, never a failed task.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from pyspark import Broadcast, TaskContext

from model.preprocessing import PreprocessingSpec
from training.datasets.duplicates import pixel_digest
from training.datasets.films import FilmSource, Tensors, try_film_tensors
from training.errors import DatasetError
from training.extraction.extract import BATCH_FILMS, extract
from training.extraction.frame import CARRIED
from training.networks.network import TriageNetwork
from training.recipe import NetworkRecipe

# ``pixels`` is the sha256 of the film's tensor: what tells whether two machines saw the same film.
EXTRACTED = pa.schema([*CARRIED, ("features", pa.list_(pa.float32())), ("pixels", pa.string()), ("error", pa.string())])


class FilmExtractor:
    """The function that ``mapInArrow`` is given: rows of ``films_frame`` in, rows of ``EXTRACTED`` out.

    Parameters
    ----------
    data
        The collection's folder, under the same path on every node.
    recipe, spec
        The network, and how films are prepared for it.
    state
        The backbone's weights, as ``backbone_bytes`` packs them.
    """

    def __init__(self, data: Path, recipe: NetworkRecipe, spec: PreprocessingSpec, state: Broadcast[bytes]) -> None:
        self._data, self._recipe, self._spec, self._state = data, recipe, spec, state

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Yield the rows of one task with features, or with the error of a film that does not decode."""
        rows = [row for batch in batches for row in batch.to_pylist()]
        if not rows:
            return
        network = self._network()
        films = (FilmSource(self._data / row["path"], row["frame"]) for row in rows)
        outcomes = zip(rows, try_film_tensors(films, [self._spec]), strict=True)
        while chunk := list(islice(outcomes, BATCH_FILMS)):
            yield pa.RecordBatch.from_pylist(_extracted(network, chunk), schema=EXTRACTED)

    def _network(self) -> TriageNetwork:
        context = TaskContext.get()
        # Spark gives a task so many cores; torch would take them all, and as many tasks run as there are cores.
        torch.set_num_threads(context.cpus() if context else 1)
        network = TriageNetwork(self._recipe, size=self._spec.size)
        network.backbone.load_state_dict(torch.load(io.BytesIO(self._state.value), weights_only=True))
        return network.eval()


def backbone_bytes(network: TriageNetwork) -> bytes:
    """Return the backbone's weights for the executors."""
    content = io.BytesIO()
    torch.save({name: tensor.cpu() for name, tensor in network.backbone.state_dict().items()}, content)
    return content.getvalue()


def _extracted(
    network: TriageNetwork, films: Sequence[tuple[dict[str, Any], Tensors | DatasetError]]
) -> list[dict[str, Any]]:
    readable = [(row, outcome[0]) for row, outcome in films if not isinstance(outcome, DatasetError)]
    if readable:
        mirrored = np.array([row["is_mirrored"] for row, _ in readable])
        features = extract(network, np.stack([tensor for _, tensor in readable]), mirrored)
        for (row, tensor), its_features in zip(readable, features, strict=True):
            row |= {"features": its_features, "pixels": pixel_digest(tensor).hex()}
    for row, outcome in films:
        row["error"] = str(outcome) if isinstance(outcome, DatasetError) else None
    return [row for row, _ in films]
