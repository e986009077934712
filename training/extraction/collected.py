"""From the table that executors wrote back to an array in the order of the samples, row by row held against them.

A row that is missing, stands for another film, or rests on other pixels than this machine's is never taken as it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.dataset
from numpy.typing import NDArray

from model.demographics import encode_age_sex
from model.image import Tensor
from training.datasets.duplicates import pixel_digest
from training.datasets.labels import Table
from training.datasets.sample import Part, Sample
from training.datasets.unreadable import Unreadable
from training.errors import SparkError

_BLOCK_ROWS = 1024
_FACTS = ("row", "image", "patient", "part", "age", "sex", "findings", "pixels", "error")


@dataclass(frozen=True)
class Refused:
    """Rows whose features are not there yet, and why; ``unread`` of them no executor could read."""

    rows: list[int] = field(default_factory=list)
    films: list[Unreadable] = field(default_factory=list)


def collect_features(written: Path, table: Table, tensors: Tensor, features: NDArray[np.float32]) -> Refused:
    """Fill ``features`` ``(n, width)`` from the Parquet files in ``written``; return the films that are still to do.

    Those are films that an executor could not read, or read otherwise than this machine, whose ``tensors``
    ``(n, 1, s, s)`` are the truth: another file may lie under the same path on another node.

    Raises
    ------
    SparkError
        If a film has no row or two, or a row says of its film what the samples do not.
    """
    refused, seen = Refused(), np.zeros(len(table), dtype=np.int64)
    for block in _blocks(written):
        facts = block.select(_FACTS).to_pylist()
        rows = np.array([fact["row"] for fact in facts], dtype=np.int64)
        np.add.at(seen, rows, 1)
        reasons = [_reason(fact, table, tensors[fact["row"]]) for fact in facts]
        taken = np.array([reason is None for reason in reasons], dtype=np.bool_)
        for fact, reason in zip(facts, reasons, strict=True):
            if reason is not None:
                refused.rows.append(fact["row"])
                refused.films.append(Unreadable(fact["image"], Part(fact["part"]), reason))
        values = block.column("features").filter(pa.array(taken)).flatten()
        features[rows[taken]] = values.to_numpy(zero_copy_only=False).reshape(-1, features.shape[1])
    _require_every_film(seen, table, written)
    return refused


def _blocks(written: Path) -> Iterator[pa.RecordBatch]:
    files = sorted(written.glob("part-*.parquet"))
    if files:
        yield from pyarrow.dataset.dataset(files).to_batches(batch_size=_BLOCK_ROWS)


def _reason(fact: Mapping[str, Any], table: Table, tensor: Tensor) -> str | None:
    """Return why the features of this row are not to be taken, ``None`` where they are."""
    sample, part = table[fact["row"]]
    _require_same_film(fact, sample, part)
    if fact["error"] is not None:
        return str(fact["error"])
    if fact["pixels"] != pixel_digest(tensor).hex():
        return "an executor read other pixels than this machine: another file lies under its path there"
    return None


def _require_same_film(fact: Mapping[str, Any], sample: Sample, part: Part) -> None:
    age, sex = (None if np.isnan(value) else float(value) for value in encode_age_sex(sample.age_years, sample.sex))
    expected = {
        "image": sample.id,
        "patient": sample.patient,
        "part": part.value,
        "age": age,
        "sex": sex,
        "findings": list(sample.findings),
    }
    for name, value in expected.items():
        if fact[name] != value:
            raise SparkError(
                f"Spark read {name} {fact[name]!r} of the film {sample.id}, and the run's samples say {value!r}; if "
                f"the table has changed since, repeat the step 'manifest'"
            )


def _require_every_film(seen: NDArray[np.int64], table: Table, written: Path) -> None:
    lost, repeated = np.flatnonzero(seen == 0), np.flatnonzero(seen > 1)
    if len(lost):
        raise SparkError(
            f"{len(lost)} of {len(table)} films, such as {table[int(lost[0])][0].id}, have no row in {written}: the "
            f"run directory must lie on storage that this machine and every executor share"
        )
    if len(repeated):
        raise SparkError(f"{written} holds the film {table[int(repeated[0])][0].id} more than once")
