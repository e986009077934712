"""What only the films themselves can tell of a collection: which are unreadable, and which are there twice.

Part of ``data_check``; looks at pixels and at what the samples say of them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from model.preprocessing import PreprocessingSpec
from training.datasets.collection import Notices
from training.datasets.duplicates import DUPLICATE_PIXELS, METHOD, near_pairs, perceptual_hash, pixel_digest
from training.datasets.films import FilmSource, try_film_tensors
from training.datasets.sample import Part, Sample
from training.datasets.unlabelled import films_below
from training.errors import DatasetError
from training.progress import track


@dataclass(frozen=True, kw_only=True)
class PixelFigures:
    """What the films themselves said; ``method`` is how duplicates were told."""

    method: str
    films_read: int
    unreadable: int
    exact_duplicates: int
    near_duplicate_pairs: int


@dataclass(frozen=True)
class _Readable:
    """Films that can be read, with digest and hash of each, row by row."""

    samples: list[Sample] = field(default_factory=list)
    digests: list[bytes] = field(default_factory=list)
    hashes: list[NDArray[np.uint64]] = field(default_factory=list)

    def groups(self) -> list[list[Sample]]:
        """Return the films that share their pixels with another, together."""
        same: dict[bytes, list[Sample]] = defaultdict(list)
        for sample, digest in zip(self.samples, self.digests, strict=True):
            same[digest].append(sample)
        return [group for group in same.values() if len(group) > 1]


def check_pixels(
    directory: Path,
    samples: Sequence[Sample],
    parts: Mapping[str, Part] | None,
    *,
    against: Path | None,
    must_fix: Notices,
    remarks: Notices,
    console: Console,
) -> PixelFigures:
    """Read every film and note the unreadable ones, and those that are there twice.

    ``parts`` is a planned split; ``against`` another folder, whose films are looked for among the samples.
    """
    readable = _read_films(directory, samples, must_fix, console)
    groups = readable.groups()
    _check_duplicates(groups, parts, must_fix, remarks)
    near = _near_duplicates(readable, console)
    _check_near_duplicates(near, parts, remarks)
    if against is not None:
        _check_against(readable, against, remarks, console)
    return PixelFigures(
        method=METHOD,
        films_read=len(readable.samples),
        unreadable=len(samples) - len(readable.samples),
        exact_duplicates=sum(len(group) - 1 for group in groups),
        near_duplicate_pairs=len(near),
    )


def _read_films(directory: Path, samples: Sequence[Sample], must_fix: Notices, console: Console) -> _Readable:
    readable = _Readable()
    films = (FilmSource(directory / sample.path, sample.frame) for sample in samples)
    outcomes = try_film_tensors(films, [PreprocessingSpec(size=DUPLICATE_PIXELS)])
    tracked = track(outcomes, total=len(samples), label="reading films", console=console)
    for sample, outcome in zip(samples, tracked, strict=True):
        if isinstance(outcome, DatasetError):
            must_fix.add("unreadable", "films that cannot be read", str(outcome))
            continue
        readable.samples.append(sample)
        readable.digests.append(pixel_digest(outcome[0]))
        readable.hashes.append(perceptual_hash(outcome[0]))
    return readable


def _near_duplicates(readable: _Readable, console: Console) -> list[tuple[Sample, Sample]]:
    if not readable.hashes:
        return []
    rows = track(
        near_pairs(np.stack(readable.hashes)), total=len(readable.hashes), label="comparing films", console=console
    )
    return [
        (readable.samples[one], readable.samples[other])
        for row in rows
        for one, other in row
        if readable.digests[one] != readable.digests[other]
    ]


def _check_against(readable: _Readable, against: Path, remarks: Notices, console: Console) -> None:
    paths = films_below(against, remarks)
    outcomes = try_film_tensors((FilmSource(path) for path in paths), [PreprocessingSpec(size=DUPLICATE_PIXELS)])
    others, hashes = [], list(readable.hashes)
    for path, outcome in zip(
        paths, track(outcomes, total=len(paths), label=f"reading {against.name}", console=console), strict=True
    ):
        if isinstance(outcome, DatasetError):
            remarks.add("unreadable_against", f"films of {against} that cannot be read", str(outcome))
            continue
        others.append(path.relative_to(against).as_posix())
        hashes.append(perceptual_hash(outcome[0]))
    own = len(readable.samples)
    rows = track(near_pairs(np.stack(hashes)), total=len(hashes), label="comparing films", console=console)
    for one, other in (pair for row in rows for pair in row):
        if one < own <= other:
            text = f"candidates for films that {against} holds too; leave them out of one of the two"
            remarks.add("also_in", text, f"{readable.samples[one].id} ~ {others[other - own]}")


def _check_duplicates(
    groups: Iterable[Sequence[Sample]], parts: Mapping[str, Part] | None, must_fix: Notices, remarks: Notices
) -> None:
    for group in groups:
        place = " = ".join(sample.id for sample in group)
        remarks.add("duplicates", "films with the same pixels", place)
        labels = {sample.findings for sample in group}
        if len({bool(findings) for findings in labels}) > 1:
            must_fix.add("duplicate_conflict", "same pixels, once healthy and once unhealthy", place)
        elif len(labels) > 1:
            remarks.add("duplicate_findings", "same pixels, other findings", place)
        if len({sample.patient for sample in group}) > 1:
            remarks.add("duplicate_patients", "same pixels under several patients", place)
        if parts and len({parts[sample.id] for sample in group}) > 1:
            must_fix.add("duplicate_leak", "same pixels in several parts of the recipe's split", place)
        if len({sample.official_part == "test" for sample in group}) > 1:
            remarks.add("official_duplicates", "same pixels on both sides of the official test list", place)


def _check_near_duplicates(
    pairs: Iterable[tuple[Sample, Sample]], parts: Mapping[str, Part] | None, remarks: Notices
) -> None:
    for one, other in pairs:
        place = f"{one.id} ~ {other.id}"
        remarks.add("near_duplicates", "candidates for the same film twice; look at them", place)
        if one.patient != other.patient:
            remarks.add("near_duplicate_patients", "candidates for the same film under two patients", place)
        if one.is_unhealthy != other.is_unhealthy:
            remarks.add("near_duplicate_conflict", "candidates, one healthy and one unhealthy", place)
        if parts and parts[one.id] is not parts[other.id]:
            remarks.add("near_duplicate_leak", "candidates in two parts of the recipe's split", place)
