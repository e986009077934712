"""No patient is ever on two sides of a split, and every part holds the same mix."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from training.datasets import Part, Sample
from training.datasets.split import shared_patients, split_samples, split_sha256
from training.errors import DatasetError, PatientLeakage
from training.recipe import DataRecipe

SHARES = {"train": 0.5, "select": 0.15, "calibrate": 0.15, "test": 0.2}


def sample(number: int, patient: int, *, official: str | None = None) -> Sample:
    return Sample(
        id=f"{number}.png",
        path=Path(f"{number}.png"),
        patient=str(patient),
        findings=("Mass",) if patient % 3 else (),
        view="AP" if patient % 2 else "PA",
        official_part=official,
    )


def collection(patients: int = 200, films_each: int = 3) -> list[Sample]:
    return [sample(number, number // films_each) for number in range(patients * films_each)]


def test_no_patient_is_shared_and_shares_are_kept() -> None:
    samples = collection()
    parts = split_samples(samples, DataRecipe(**SHARES), seed=1)
    assert not shared_patients(samples, parts)
    for part, share in SHARES.items():
        inside = [sample for sample in samples if parts[sample.id] == part]
        assert len(inside) == pytest.approx(share * len(samples), abs=12)
        assert sum(sample.is_unhealthy for sample in inside) == pytest.approx(len(inside) * 2 / 3, rel=0.1)
        assert sum(sample.view == "AP" for sample in inside) == pytest.approx(len(inside) / 2, rel=0.1)


def test_a_seed_gives_one_split_whatever_the_order_of_rows() -> None:
    samples = collection()
    recipe = DataRecipe(**SHARES)
    first = split_samples(samples, recipe, seed=1)
    assert split_samples(samples[::-1], recipe, seed=1) == first
    assert split_sha256(first) != split_sha256(split_samples(samples, recipe, seed=2))


@pytest.mark.parametrize("seed", range(20))
def test_whatever_the_patients_none_is_shared(seed: int) -> None:
    rng = np.random.default_rng(seed)
    patients = rng.integers(0, rng.integers(50, 90), size=300)
    samples = [sample(number, int(patient)) for number, patient in enumerate(patients)]
    assert not shared_patients(samples, split_samples(samples, DataRecipe(**SHARES), seed=seed))


def test_an_image_split_shares_patients_and_says_how_many() -> None:
    samples = collection()
    parts = split_samples(samples, DataRecipe(**SHARES, split="image"), seed=1)
    assert len(shared_patients(samples, parts)) > 100


def test_the_official_test_list_is_kept() -> None:
    samples = [sample(number, number // 3, official="test" if number < 90 else "train_val") for number in range(600)]
    parts = split_samples(samples, DataRecipe(**SHARES, official_test=True), seed=1)
    assert {number for number in range(600) if parts[f"{number}.png"] is Part.TEST} == set(range(90))
    assert not shared_patients(samples, parts)


def test_official_parts_stay_what_they_are_and_the_rest_is_dealt_out() -> None:
    parts_of = ["train"] * 300 + ["select"] * 150 + ["test"] * 150
    samples = [sample(number, number // 3, official=part) for number, part in enumerate(parts_of)]
    parts = split_samples(samples, DataRecipe(**SHARES, official_test=True), seed=1)
    for official, expected in (
        ("select", {Part.SELECT}),
        ("test", {Part.TEST}),
        ("train", {Part.TRAIN, Part.CALIBRATE}),
    ):
        assert {parts[film.id] for film in samples if film.official_part == official} == expected
    trained = sum(part is Part.TRAIN for part in parts.values())
    assert trained == pytest.approx(300 * SHARES["train"] / (SHARES["train"] + SHARES["calibrate"]), abs=9)


def test_an_official_calibrate_part_leaves_the_rest_to_training() -> None:
    parts_of = ["train"] * 300 + ["select"] * 90 + ["calibrate"] * 90 + ["test"] * 120
    samples = [sample(number, number // 3, official=part) for number, part in enumerate(parts_of)]
    parts = split_samples(samples, DataRecipe(**SHARES, official_test=True), seed=1)
    assert [parts[film.id] for film in samples] == parts_of


@pytest.mark.parametrize("folds", [2, 5, 7])
def test_every_patient_is_tested_in_exactly_one_fold(folds: int) -> None:
    samples = collection()
    tested: list[str] = []
    for fold in range(folds):
        parts = split_samples(samples, DataRecipe(**SHARES, folds=folds, test_fold=fold), seed=3)
        assert not shared_patients(samples, parts)
        inside = [film for film in samples if parts[film.id] is Part.TEST]
        tested += sorted({film.patient for film in inside})
        assert len(inside) == pytest.approx(len(samples) / folds, abs=3)
        assert sum(film.is_unhealthy for film in inside) == pytest.approx(len(inside) * 2 / 3, rel=0.1)
        assert sum(film.view == "AP" for film in inside) == pytest.approx(len(inside) / 2, rel=0.15)
        # The other parts share the rest in proportion to their shares.
        selected = sum(part is Part.SELECT for part in parts.values())
        rest = len(samples) - len(inside)
        assert selected == pytest.approx(rest * SHARES["select"] / (1 - SHARES["test"]), abs=12)
    assert sorted(tested) == sorted({film.patient for film in samples})


def test_folds_follow_the_seed_alone() -> None:
    samples = collection()
    recipe = DataRecipe(**SHARES, test_fold=1)
    first = split_samples(samples, recipe, seed=1)
    assert split_samples(samples[::-1], recipe, seed=1) == first
    assert split_samples(samples, recipe, seed=2) != first


def test_an_official_list_that_cuts_through_a_patient_is_leakage() -> None:
    samples = [sample(number, number // 3, official="test" if number < 91 else "train_val") for number in range(600)]
    with pytest.raises(PatientLeakage, match=r"1 patients .* \(first: 30\)"):
        split_samples(samples, DataRecipe(**SHARES, official_test=True), seed=1)


def test_an_official_list_that_is_not_there_is_named() -> None:
    with pytest.raises(DatasetError, match="official_test"):
        split_samples(collection(), DataRecipe(**SHARES, official_test=True), seed=1)


def test_a_part_whose_healthy_films_are_all_disputed_counts_as_one_class() -> None:
    recipe = DataRecipe(**SHARES)
    samples = collection()
    parts = split_samples(samples, recipe, seed=1)
    for part in Part:
        disputed = [
            replace(sample, is_disputed=not sample.is_unhealthy and parts[sample.id] is part) for sample in samples
        ]
        with pytest.raises(DatasetError, match=f"the {part} part holds films of one class only"):
            split_samples(disputed, recipe, seed=1)
        assert split_samples(disputed, DataRecipe(**SHARES, leave_out_disputed=False), seed=1) == parts


def test_too_few_patients_are_an_error_not_a_part_of_one_class() -> None:
    with pytest.raises(DatasetError, match="one class only"):
        split_samples(collection(patients=4), DataRecipe(**SHARES), seed=1)
