"""What a network is fed: films, and age and sex where it asks for them. The same rows in the same order, always."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from model.demographics import AgeSex, encode_age_sex
from model.image import Tensor
from training.datasets.films import read_tensors, tensor_batches
from training.datasets.labels import Table


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """A block of films ``(b, 1, s, s)`` uint8, and ``(b, 2)`` of ``model.demographics`` where the network takes it.

    Raises
    ------
    ValueError
        If the two are not of equally many films: a runtime would spread one row over all of them.
    """

    films: Tensor
    age_sex: AgeSex | None = None

    def __post_init__(self) -> None:
        if self.age_sex is not None and self.age_sex.shape != (len(self.films), 2):
            raise ValueError(f"age and sex of {len(self.films)} films came as {self.age_sex.shape}")

    def __len__(self) -> int:
        return len(self.films)


def age_sex_of(table: Table) -> AgeSex:
    """Return age and sex of all samples ``(n, 2)`` float32, NaN where unknown."""
    rows = [encode_age_sex(sample.age_years, sample.sex) for sample, _ in table]
    return np.array(rows, dtype=np.float32).reshape(len(table), 2)


def input_batches(
    tensors: Path, table: Table, rows: Sequence[int], *, with_age_sex: bool, size: int = 64
) -> Iterator[Inputs]:
    """Yield the chosen rows of a tensor cache in blocks, with age and sex of their samples where asked for.

    Only one block is in memory; each holds at most ``size`` films.
    """
    start = 0
    for films in tensor_batches(tensors, rows, size=size):
        yield _joined(films, table, rows[start : start + len(films)], with_age_sex=with_age_sex)
        start += len(films)


def read_inputs(tensors: Path, table: Table, rows: Sequence[int], *, with_age_sex: bool) -> Inputs:
    """Return the chosen rows of a tensor cache as one block in memory, as ``input_batches`` would."""
    return _joined(read_tensors(tensors, rows), table, rows, with_age_sex=with_age_sex)


def _joined(films: Tensor, table: Table, rows: Sequence[int], *, with_age_sex: bool) -> Inputs:
    return Inputs(films=films, age_sex=age_sex_of([table[row] for row in rows]) if with_age_sex else None)
