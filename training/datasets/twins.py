"""Leaves out of one folder of films those that another holds too, told by their pixels.

A film that the network has learned from, even without its label, is no longer unseen when it is tested on.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from model.preprocessing import PreprocessingSpec
from training.datasets.collection import Notices, print_remarks
from training.datasets.duplicates import DUPLICATE_PIXELS, near_pairs, perceptual_hash
from training.datasets.films import FilmSource, film_tensors
from training.datasets.unlabelled import films_below
from training.errors import DatasetError
from training.progress import track


def without_twins(films: Sequence[Path], labelled: Path, console: Console) -> tuple[Path, ...]:
    """Return ``films`` without those that look like a film below ``labelled``, in the same order.

    Near duplicates count: resampled or compressed again, a film is the same film. A stranger that merely looks alike
    is left out too; that costs one film of thousands.

    Raises
    ------
    DatasetError
        If ``labelled`` is no directory or holds no film, or a film of either cannot be decoded.
    """
    remarks = Notices()
    theirs = films_below(labelled, remarks)
    print_remarks(remarks, console)
    if not theirs:
        raise DatasetError(f"{labelled} holds no film, so nobody can tell which films are known there")
    hashes = _hashes([*films, *theirs], console)
    own = len(films)
    twins = {row for pairs in near_pairs(hashes) for row, other in pairs if row < own <= other}
    return tuple(film for row, film in enumerate(films) if row not in twins)


def _hashes(films: Sequence[Path], console: Console) -> NDArray[np.uint64]:
    tensors = film_tensors([FilmSource(film) for film in films], [PreprocessingSpec(size=DUPLICATE_PIXELS)])
    return np.stack(
        [
            perceptual_hash(tensor)
            for (tensor,) in track(tensors, total=len(films), label="comparing films", console=console)
        ]
    )
