"""Deals patients out to train, select, calibrate and test, and proves that no patient is in two of them."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Final

import numpy as np

from training.datasets.sample import Part, Sample
from training.errors import DatasetError, PatientLeakage
from training.recipe import DataRecipe

# Official parts that stay what they are; "train" and "train_val" films are dealt out to whatever is left.
_FIXED: Final[Mapping[str | None, Part]] = {
    "select": Part.SELECT,
    "calibrate": Part.CALIBRATE,
    "test": Part.TEST,
}


def split_samples(samples: Sequence[Sample], recipe: DataRecipe, seed: int) -> dict[str, Part]:
    """Return the part of every sample id.

    Units (patients, or single films where the recipe says ``split = "image"``) are shuffled by ``seed`` within strata
    of "ever unhealthy" and "ever AP" and dealt out by the recipe's shares, so that every part holds the same mix.

    With ``official_test`` the collection's own test films are the test part; parts select and calibrate that it has too
    are kept as they are, and the rest is dealt out to the parts that it does not have.
    With ``test_fold`` the units are dealt into ``folds`` folds, the same for every ``test_fold``; that one is the test
    part and the rest is dealt out to the others.

    Raises
    ------
    DatasetError
        If an official list is asked for and absent, or a part would hold one class only; disputed films count for
        nothing here where the recipe leaves them out.
    PatientLeakage
        If parts share a patient under ``split = "patient"`` (an official list that cuts through one, say).
    """
    shares = {
        Part.TRAIN: recipe.train,
        Part.SELECT: recipe.select,
        Part.CALIBRATE: recipe.calibrate,
        Part.TEST: recipe.test,
    }
    parts: dict[str, Part] = {}
    if recipe.official_test:
        parts = _official_parts(samples)
    elif recipe.test_fold is not None:
        folds = _fold_units(_units(samples, recipe), recipe.folds, np.random.default_rng([seed, recipe.folds]))
        parts = {film.id: Part.TEST for films in folds[recipe.test_fold] for film in films}
    remaining = {part: share for part, share in shares.items() if part not in parts.values()}
    units = _units([sample for sample in samples if sample.id not in parts], recipe)
    parts |= _deal(units, remaining, np.random.default_rng(seed))
    require_both_classes([film for film in samples if not (recipe.leave_out_disputed and film.is_disputed)], parts)
    leaked = shared_patients(samples, parts)
    if leaked and recipe.split == "patient":
        raise PatientLeakage(f"{len(leaked)} patients are in more than one part of the split (first: {min(leaked)})")
    return parts


def shared_patients(samples: Sequence[Sample], parts: Mapping[str, Part]) -> frozenset[str]:
    """Return the patients with films in more than one part."""
    found: dict[str, set[Part]] = defaultdict(set)
    for sample in samples:
        found[sample.patient].add(parts[sample.id])
    return frozenset(patient for patient, theirs in found.items() if len(theirs) > 1)


def split_sha256(parts: Mapping[str, Part]) -> str:
    """Return a digest that two runs share if and only if they split the same films the same way."""
    lines = "".join(f"{sample_id} {part}\n" for sample_id, part in sorted(parts.items()))
    return hashlib.sha256(lines.encode()).hexdigest()


def require_both_classes(samples: Sequence[Sample], parts: Mapping[str, Part], *, reason: str | None = None) -> None:
    """Stand for it that every part has healthy and unhealthy films among ``samples``; ``reason`` says why it has not.

    Raises
    ------
    DatasetError
        With the first part that has not.
    """
    for part in Part:
        films = [sample for sample in samples if parts[sample.id] is part]
        unhealthy = sum(sample.is_unhealthy for sample in films)
        if unhealthy in (0, len(films)):
            why = reason or f"there are too few patients for data.{part}, or the collection has one class"
            raise DatasetError(
                f"the {part} part holds films of one class only ({unhealthy} unhealthy, {len(films) - unhealthy} "
                f"healthy): {why}"
            )


def _official_parts(samples: Sequence[Sample]) -> dict[str, Part]:
    parts = {sample.id: _FIXED[sample.official_part] for sample in samples if sample.official_part in _FIXED}
    if any(sample.official_part is None for sample in samples) or Part.TEST not in parts.values():
        raise DatasetError(
            "data.official_test is set, but the data directory holds no official test list that covers every film"
        )
    return parts


def _units(samples: Iterable[Sample], recipe: DataRecipe) -> dict[str, list[Sample]]:
    units: dict[str, list[Sample]] = defaultdict(list)
    for sample in samples:
        units[sample.patient if recipe.split == "patient" else sample.id].append(sample)
    return units


def _shuffled_strata(units: Mapping[str, list[Sample]], rng: np.random.Generator) -> Iterator[list[list[Sample]]]:
    """Yield the units of each stratum in the order of ``rng``, whatever the order of rows."""
    strata: dict[tuple[bool, bool], list[str]] = defaultdict(list)
    for unit, films in units.items():
        stratum = (any(film.is_unhealthy for film in films), any(film.view == "AP" for film in films))
        strata[stratum].append(unit)
    for stratum in sorted(strata):
        yield [units[str(unit)] for unit in rng.permutation(np.array(sorted(strata[stratum])))]


def _fold_units(units: Mapping[str, list[Sample]], folds: int, rng: np.random.Generator) -> list[list[list[Sample]]]:
    """Deal every unit into exactly one fold; each stratum goes on where the last one ended, so that sizes agree."""
    dealt = [films for stratum in _shuffled_strata(units, rng) for films in stratum]
    return [dealt[fold::folds] for fold in range(folds)]


def _deal(units: Mapping[str, list[Sample]], shares: Mapping[Part, float], rng: np.random.Generator) -> dict[str, Part]:
    ends = np.cumsum(list(shares.values())) / sum(shares.values())
    parts: dict[str, Part] = {}
    for stratum in _shuffled_strata(units, rng):
        bounds = [0, *np.rint(ends * len(stratum)).astype(int)]
        for part, (start, end) in zip(shares, pairwise(bounds), strict=True):
            parts |= {film.id: part for films in stratum[start:end] for film in films}
    return parts
