"""Figures of a group: exact beside bootstrapped, notes where too few came, and defined for nobody at all."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy.stats import binomtest

from tests.support.scored_films import invented_films
from training.statistics.figures import figure, missing, show
from training.statistics.groups import age_bands, describe, subgroups
from training.statistics.intervals import Bootstrap
from training.statistics.metrics import auc, confusion
from training.statistics.thresholds import FLAG_EVERYTHING

BOOTSTRAP = Bootstrap(replicates=200, seed=1)
THRESHOLDS = {"sens95": 0.3, "everything": FLAG_EVERYTHING}


def test_every_ratio_has_its_value_counts_and_exact_bounds() -> None:
    films = invented_films()
    found = describe(films, THRESHOLDS, BOOTSTRAP, confidence=0.95)
    point, counts = found["operating_points"]["sens95"], confusion(films.labels, films.scores, 0.3)
    assert found["auc"]["value"] == auc(films.labels, films.scores)
    for ratio in ("sensitivity", "specificity", "ppv", "npv", "accuracy"):
        shown = point[ratio]
        assert shown["value"] == pytest.approx(getattr(counts, ratio))
        assert shown["low"] <= shown["value"] <= shown["high"]
        exact = binomtest(shown["count"], shown["of"]).proportion_ci(0.95, method="exact")
        assert (shown["exact_low"], shown["exact_high"]) == pytest.approx((exact.low, exact.high))
    assert point["f3"]["value"] == pytest.approx(counts.f3)
    assert point["f3_skill"]["value"] == pytest.approx(counts.f3_skill)
    assert point["f3_flag_everything"] == pytest.approx(counts.f3_flag_everything)


def test_the_miss_bound_rests_on_one_film_a_patient() -> None:
    films = invented_films(films=4)
    bound = describe(films, THRESHOLDS, BOOTSTRAP, confidence=0.95)["operating_points"]["sens95"]["miss_bound"]
    assert bound["positives"] == len(np.unique(films.patients[films.labels == 1]))
    expected = binomtest(bound["misses"], bound["positives"], alternative="less").proportion_ci(0.95, method="exact")
    assert bound["bound"] == pytest.approx(expected.high)


def test_flagging_everything_has_no_skill_and_no_npv() -> None:
    point = describe(invented_films(), THRESHOLDS, BOOTSTRAP, confidence=0.95)["operating_points"]["everything"]
    assert point["f3_skill"] == {"value": 0.0, "low": 0.0, "high": 0.0, "note": None}
    assert point["sensitivity"]["value"] == 1.0
    assert point["npv"]["value"] is None
    assert (point["npv"]["of"], point["npv"]["exact_low"]) == (0, None)


def test_no_films_at_all_are_described() -> None:
    nobody = invented_films().where(np.zeros(300, dtype=bool))
    found = describe(nobody, THRESHOLDS, BOOTSTRAP, confidence=0.95)
    assert (found["films"], found["patients"], found["prevalence"], found["auc"]["value"]) == (0, 0, None, None)
    point = found["operating_points"]["sens95"]
    assert point["miss_bound"] is None
    assert all(point[ratio]["value"] is None for ratio in ("sensitivity", "ppv", "accuracy", "f3", "f3_skill"))
    assert show(point["sensitivity"]) == "n too small: 0 unhealthy patients"
    json.dumps(found, allow_nan=False)


def test_too_few_patients_give_a_note_in_place_of_a_number() -> None:
    films = invented_films(patients=12, films=2)
    chosen = (films.labels == 0) | np.isin(films.patients, np.unique(films.patients[films.labels == 1])[:4])
    found = describe(films.where(chosen), THRESHOLDS, BOOTSTRAP, confidence=0.95)
    assert show(found["auc"]) == "n too small: 4 unhealthy patients"
    sensitivity = found["operating_points"]["sens95"]["sensitivity"]
    assert sensitivity["value"] is None
    assert sensitivity["of"] == films.where(chosen).labels.sum()
    assert sensitivity["exact_low"] is not None


def test_subgroups_hold_every_film_once_for_each_attribute() -> None:
    films = invented_films()
    sizes: dict[str, int] = {}
    for attribute, group, members in subgroups(films):
        assert len(members.labels), group
        sizes[attribute] = sizes.get(attribute, 0) + len(members.labels)
    assert sizes == {"view": 300, "sex": 300, "age": 300}


def test_ages_that_cannot_be_are_unknown() -> None:
    ages = np.array([0, 17, 18, 59, 60, 80, 120, 121, 414, -1, np.nan])
    assert age_bands(ages).tolist() == [
        "0-17",
        "0-17",
        "18-39",
        "40-59",
        "60-79",
        "80+",
        "80+",
        "unknown",
        "unknown",
        "unknown",
        "unknown",
    ]


def test_a_figure_reads_with_its_interval_or_its_note() -> None:
    assert show(figure(0.5, np.array([0.4, 0.5, 0.6]))) == "0.500 (0.405 to 0.595)"
    assert show(figure(0.5, np.array([np.nan]))) == "0.500"
    assert show(figure(None, np.array([0.4]))) == "undefined"
    assert show(missing("n too small: 3 healthy patients")) == "n too small: 3 healthy patients"
