"""Deals patients out to train, select, calibrate and test, and proves that no patient is in two of them."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np

from training.datasets.sample import Part, Sample
from training.errors import DatasetError, PatientLeakage
from training.recipe import DataRecipe


def split_samples(samples: Sequence[Sample], recipe: DataRecipe, seed: int) -> dict[str, Part]:
    """Return the part of every sample id.

    Units (patients, or single films where the recipe says ``split = "image"``) are shuffled by ``seed`` within strata
    of "ever unhealthy" and "ever AP" and dealt out by the recipe's shares, so that every part holds the same mix.
    With ``official_test`` the collection's own test patients are the test part and the rest is dealt out to the others.

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
    remaining = list(samples)
    if recipe.official_test:
        if any(sample.official_part is None for sample in samples):
            raise DatasetError("data.official_test is set, but the data directory holds no official test list")
        parts = {sample.id: Part.TEST for sample in samples if sample.official_part == "test"}
        remaining = [sample for sample in samples if sample.id not in parts]
        shares.pop(Part.TEST)
    units = defaultdict(list)
    for sample in remaining:
        units[sample.patient if recipe.split == "patient" else sample.id].append(sample)
    parts |= _deal(units, shares, np.random.default_rng(seed))
    _require_both_classes([film for film in samples if not (recipe.leave_out_disputed and film.is_disputed)], parts)
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


def _deal(units: Mapping[str, list[Sample]], shares: Mapping[Part, float], rng: np.random.Generator) -> dict[str, Part]:
    strata: dict[tuple[bool, bool], list[str]] = defaultdict(list)
    for unit, films in units.items():
        stratum = (any(film.is_unhealthy for film in films), any(film.view == "AP" for film in films))
        strata[stratum].append(unit)
    ends = np.cumsum(list(shares.values())) / sum(shares.values())
    parts: dict[str, Part] = {}
    for stratum in sorted(strata):
        shuffled = rng.permutation(np.array(sorted(strata[stratum])))
        bounds = np.rint(ends * len(shuffled)).astype(int)
        for part, group in zip(shares, np.split(shuffled, bounds[:-1]), strict=True):
            parts |= {film.id: part for unit in group for film in units[str(unit)]}
    return parts


def _require_both_classes(samples: Sequence[Sample], parts: Mapping[str, Part]) -> None:
    for part in Part:
        labels = {sample.is_unhealthy for sample in samples if parts[sample.id] is part}
        if len(labels) < 2:
            raise DatasetError(f"the {part} part holds films of one class only; there are too few patients to split")
