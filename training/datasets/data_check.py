"""Looks at a collection before anything is trained on it: counts, patients, leaks, duplicates, unreadable files.

Reads the films through the functions that serve them. Decides nothing about training; it tells what must be mended from
what should be known.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rich.console import Console

from model.gate import GateSpec
from training.datasets.collection import Collection, Notice, Notices
from training.datasets.pixel_check import PixelFigures, check_pixels
from training.datasets.reading import survey_collection
from training.datasets.sample import Part, Sample
from training.datasets.split import split_samples
from training.errors import DatasetError, PatientLeakage
from training.recipe import DataRecipe

_AGE_BANDS: Final = (18, 40, 60, 80)
_ADULT_YEARS: Final = GateSpec().minimum_age_years
_HEALTHY: Final = "no finding"


@dataclass(frozen=True, kw_only=True)
class Count:
    """How many films and patients, and how many of the films are unhealthy."""

    films: int
    patients: int
    unhealthy: int


@dataclass(frozen=True, kw_only=True)
class CheckReport:
    """Everything that was found. ``counts`` goes by group (all, label, view, sex, age, official part, planned part)."""

    directory: str
    reader: str
    rows_without_film: int
    counts: Mapping[str, Mapping[str, Count]]
    pixels: PixelFigures | None
    must_fix: tuple[Notice, ...]
    remarks: tuple[Notice, ...]


def check_collection(
    directory: Path,
    recipe: DataRecipe,
    *,
    seed: int | None,
    with_pixels: bool,
    against: Path | None,
    console: Console,
) -> CheckReport:
    """Survey a collection; with ``seed``, split it too as a run of that recipe and seed would.

    ``with_pixels`` reads every film; ``against`` is another folder of films to compare them with.

    Raises
    ------
    DatasetError
        If there is nothing to survey: no directory, no table, a column missing.
    """
    collection = survey_collection(directory, recipe)
    must_fix, remarks = Notices(), Notices()
    parts = None if seed is None else _planned_parts(collection.samples, recipe, seed, must_fix)
    _check_labels(collection.samples, must_fix, remarks)
    _check_official_parts(collection.samples, remarks)
    pixels = None
    if with_pixels:
        notices = {"must_fix": must_fix, "remarks": remarks}
        pixels = check_pixels(directory, collection.samples, parts, against=against, **notices, console=console)
    return CheckReport(
        directory=str(directory),
        reader=recipe.reader,
        rows_without_film=collection.rows_without_film,
        counts=_counts(collection, parts),
        pixels=pixels,
        must_fix=(*collection.faults, *must_fix),
        remarks=(*collection.remarks, *remarks),
    )


def _planned_parts(
    samples: Sequence[Sample], recipe: DataRecipe, seed: int, must_fix: Notices
) -> dict[str, Part] | None:
    try:
        return split_samples(samples, recipe, seed)
    except (DatasetError, PatientLeakage) as error:
        must_fix.add("split", f"the recipe's split fails: {error}")
        return None


def _check_labels(samples: Sequence[Sample], must_fix: Notices, remarks: Notices) -> None:
    unhealthy = sum(sample.is_unhealthy for sample in samples)
    if unhealthy in (0, len(samples)):
        must_fix.add("one_class", f"all {len(samples)} films are of one class ({unhealthy} unhealthy)")
    for sample in samples:
        if sample.age_years is not None and sample.age_years < _ADULT_YEARS:
            text = f"films of patients under {_ADULT_YEARS:g}, whom a worker's gate refuses unless a site allows them"
            remarks.add("children", text, f"{sample.id}: {sample.age_years}")
        if sample.is_disputed:
            said = "|".join(sample.findings) or _HEALTHY
            text = "films that a second reading called normal (rsna_says_normal), whatever their label"
            remarks.add("disputed", text, f"{sample.id}: {said}")


def _check_official_parts(samples: Sequence[Sample], remarks: Notices) -> None:
    theirs: dict[str, set[str]] = defaultdict(set)
    for sample in samples:
        if sample.official_part is not None:
            theirs[sample.patient].add("test" if sample.official_part == "test" else "other")
    for patient in sorted(patient for patient, found in theirs.items() if len(found) > 1):
        remarks.add("official_leak", "patients on both sides of the official test list", f"patient {patient}")


def _counts(collection: Collection, parts: Mapping[str, Part] | None) -> dict[str, dict[str, Count]]:
    samples = collection.samples
    counts = {
        "all": _count_by(samples, lambda _: ["films"]),
        "label": _count_by(samples, lambda sample: sample.findings or (_HEALTHY,)),
        "view": _count_by(samples, lambda sample: [sample.view or "unknown"]),
        "sex": _count_by(samples, lambda sample: [sample.sex or "unknown"]),
        "age": _count_by(samples, lambda sample: [_age_band(sample.age_years)]),
    }
    if any(sample.official_part for sample in samples):
        counts["official part"] = _count_by(samples, lambda sample: [sample.official_part or "none"])
    if parts:
        counts["planned part"] = _count_by(samples, lambda sample: [parts[sample.id]])
    return counts


def _count_by(samples: Iterable[Sample], groups_of: Callable[[Sample], Iterable[str]]) -> dict[str, Count]:
    films, unhealthy = Counter[str](), Counter[str]()
    patients: dict[str, set[str]] = defaultdict(set)
    for sample in samples:
        for group in groups_of(sample):
            films[group] += 1
            unhealthy[group] += sample.is_unhealthy
            patients[group].add(sample.patient)
    return {
        str(group): Count(films=films[group], patients=len(patients[group]), unhealthy=unhealthy[group])
        for group in sorted(films)
    }


def _age_band(age_years: int | None) -> str:
    if age_years is None:
        return "unknown"
    bounds = [0, *_AGE_BANDS]
    start = max(bound for bound in bounds if bound <= age_years)
    later = [bound for bound in bounds if bound > age_years]
    return f"{start}-{later[0] - 1}" if later else f"{start}+"
