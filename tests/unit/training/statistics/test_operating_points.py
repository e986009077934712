"""Every point that a recipe names is made, with its evidence; what cannot be promised flags everything and says so."""

from __future__ import annotations

import json
from datetime import date

import numpy as np
import pytest
from scipy.special import expit, logit

from model.manifest import Certificate
from tests.support.scored_films import invented_films
from training.recipe import ThresholdRecipe
from training.statistics.operating_points import Grounds, calibrate_counts, operating_points, undated
from training.statistics.thresholds import FLAG_EVERYTHING, one_film_per_patient

RECIPE = ThresholdRecipe(certified=(0.95, 0.99), expected=(0.95,), costs=(2.0, 10.0))
TODAY = date(2026, 11, 21)


def points(
    patients: int = 200, shift: float = 0.0, margin: float = 0.0, patients_known: bool = True, today: date = TODAY
) -> dict[str, dict[str, object]]:
    films = invented_films(patients=patients)
    scores = expit(logit(films.scores) + shift)
    grounds = Grounds(seed=3, shift=shift, margin=margin, patients_known=patients_known, today=today)
    made = operating_points(films.facts, scores, RECIPE, grounds)
    json.dumps(made, allow_nan=False)
    return {point["name"]: point for point in made}


def test_the_points_are_those_of_the_recipe_in_its_order() -> None:
    assert tuple(points()) == RECIPE.names == ("f3", "sens95", "sens99", "expected95", "cost:2", "cost:10")


def test_a_certificate_says_what_it_rests_on() -> None:
    films, point = invented_films(patients=200), points()["sens95"]
    certificate = Certificate.model_validate(point["certificate"])
    singles = films.scores[one_film_per_patient(films.patients, films.labels == 1, 3)]
    assert certificate.positives == len(singles)
    assert certificate.misses == np.sum(singles < point["threshold"])
    assert certificate.miss_bound <= certificate.alpha == pytest.approx(0.05)
    assert certificate.delta == pytest.approx(0.05)
    assert certificate.certified_on == TODAY


def test_what_cannot_be_certified_flags_everything_and_says_so() -> None:
    few = points(patients=10)
    for name in ("sens95", "sens99", "expected95"):
        assert few[name]["threshold"] == FLAG_EVERYTHING
        assert few[name]["flags_everything"]
        assert few[name]["certificate"] is None
        assert "so it flags everything" in str(few[name]["evidence"])
    assert "at least 59" in str(few["sens95"]["evidence"])


def test_a_margin_lowers_certified_thresholds_only_and_says_so() -> None:
    plain, lowered = points(), points(margin=0.005)
    assert lowered["sens95"]["threshold"] == pytest.approx(plain["sens95"]["threshold"] - 0.005)
    assert lowered["sens95"]["certificate"] == plain["sens95"]["certificate"]
    assert "then lowered by 0.005" in str(lowered["sens95"]["evidence"])
    assert lowered | {"sens95": None} == plain | {"sens95": None}


def test_a_threshold_among_saturated_films_leaves_room_for_a_processor_that_says_a_digit_less() -> None:
    films = invented_films(patients=200)
    saturated = np.where(films.labels == 1, 1.0, films.scores)
    grounds = Grounds(seed=3, shift=0.0, margin=0.0, patients_known=True, today=TODAY)
    made = {point["name"]: point for point in operating_points(films.facts, saturated, RECIPE, grounds)}
    for name in ("sens95", "expected95"):
        assert made[name]["threshold"] <= np.nextafter(np.float32(1), np.float32(0))
        assert "lowered to 0.999999" in made[name]["evidence"]
    # No film lies below the others that share its probability, and the certificate must not say so.
    assert f"fewer than {made['sens95']['certificate']['misses']} below the threshold" in made["sens95"]["evidence"]


def test_a_threshold_that_the_margin_swallows_flags_everything() -> None:
    point = points(margin=0.9)["sens95"]
    assert point["threshold"] == FLAG_EVERYTHING
    assert point["certificate"] is None
    assert "lies within 0.9 of 0" in str(point["evidence"])


def test_without_patients_certificates_say_that_films_passed_for_them() -> None:
    made = points(patients_known=False)
    for name in ("sens95", "expected95"):
        assert "patients are unknown, films were taken as independent" in str(made[name]["evidence"])
        assert "calibrate patients" not in str(made[name]["evidence"])


def test_points_of_another_day_are_the_same_points() -> None:
    one, other = points(), points(today=date(2027, 1, 1))
    assert list(one.values()) != list(other.values())
    assert undated(list(one.values())) == undated(list(other.values()))


def test_only_certified_points_carry_a_certificate() -> None:
    made = points()
    assert [name for name, point in made.items() if point["certificate"]] == ["sens95"]
    assert "on average" in str(made["expected95"]["evidence"])


def test_alarms_compare_with_what_calibrated_scores_would_choose() -> None:
    made = points()
    assert made["cost:2"]["alarm"]["bayes_threshold"] == pytest.approx(1 / 3)
    assert made["cost:10"]["alarm"]["bayes_threshold"] == pytest.approx(1 / 11)
    assert 0.05 < made["f3"]["alarm"]["bayes_threshold"] < 0.1
    assert made["sens95"]["alarm"] is None


def test_a_prior_shift_moves_thresholds_but_neither_decisions_nor_alarms() -> None:
    plain, moved = points(), points(shift=-1.5)
    before, after = (expit(logit(invented_films(patients=200).scores) + shift) for shift in (0.0, -1.5))
    for name, point in plain.items():
        np.testing.assert_array_equal(before >= point["threshold"], after >= moved[name]["threshold"])
        if point["alarm"]:
            assert moved[name]["alarm"]["gap"] == pytest.approx(point["alarm"]["gap"], abs=1e-6)


def test_calibrate_films_and_patients_are_counted() -> None:
    films = invented_films(patients=50)
    counts = calibrate_counts(films)
    assert (counts["films"], counts["patients"]) == (100, 50)
    assert counts["unhealthy_patients"] == len(np.unique(films.patients[films.labels == 1]))
    assert counts["prevalence"] == pytest.approx(films.labels.mean())
