"""A report holds every section, as numbers that JSON can carry, and leaves disputed films to sections of their own."""

from __future__ import annotations

import io
import json
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

from tests.support.scored_films import invented_films
from training.statistics.anchors import anchors
from training.statistics.intervals import Bootstrap
from training.statistics.multilabel import FindingsJudgement
from training.statistics.report import HALF, Judgement, measure, summary_table

BOOTSTRAP = Bootstrap(replicates=100, seed=1)
JUDGEMENT = Judgement(
    ships="fp32",
    thresholds={"fp32": {"f3": 0.2, "sens95": 0.3}, "int8": {"f3": 0.21, "sens95": 0.31}},
    certified={"sens95": 0.95},
    confidence=0.95,
    prevalences=(0.1, 0.25),
    temperature=1.2,
    shift=0.0,
    leave_out_disputed=True,
)
CALLED = FindingsJudgement(threshold=0.5, train_shares={"Mass": 0.2, "Hernia": 0.002})
FILMS = invented_films(disputed=0.1)
CALIBRATE = invented_films(seed=5, prefix="c")
REPORT = measure(FILMS, CALIBRATE, JUDGEMENT, CALLED, BOOTSTRAP)


def test_the_report_is_json_without_nan() -> None:
    assert json.loads(json.dumps(REPORT, allow_nan=False))["schema_version"] == 2


def test_disputed_films_count_in_their_own_sections_only() -> None:
    disputed = int(FILMS.facts.is_disputed.sum())
    assert REPORT["test"]["films"] == len(FILMS.labels) - disputed
    assert REPORT["test_with_disputed_films"]["films"] == len(FILMS.labels)
    assert REPORT["disputed"]["films"] == disputed
    assert REPORT["disputed"]["operating_points"]["sens95"]["of"] == disputed


def test_a_recipe_that_trains_on_disputed_films_tests_on_them() -> None:
    report = measure(FILMS, CALIBRATE, replace(JUDGEMENT, leave_out_disputed=False), CALLED, BOOTSTRAP)
    assert report["test"]["films"] == len(FILMS.labels)


def test_without_disputed_films_their_section_is_empty_and_defined() -> None:
    report = measure(invented_films(), CALIBRATE, JUDGEMENT, CALLED, BOOTSTRAP)
    assert report["disputed"]["films"] == 0
    assert report["disputed"]["mean_probability"] is None


def test_every_operating_point_is_measured_and_half_beside_them() -> None:
    assert list(REPORT["test"]["operating_points"]) == ["f3", "sens95", HALF]
    assert list(REPORT["variants"]["int8"]["operating_points"]) == ["f3", "sens95"]
    assert set(REPORT["subgroups"]) == {"view", "sex", "age"}
    assert set(REPORT["baselines"]) == {"view_only", "hog_logistic_regression"}
    assert not REPORT["certificates"]["sens95"]["rejected_at_01"]


def test_calibration_is_judged_before_a_sites_shift() -> None:
    shifted = FILMS.scores / (FILMS.scores + (1 - FILMS.scores) * np.exp(2.0))
    moved = replace(FILMS, scores=shifted, variants={"fp32": shifted})
    judgement = replace(JUDGEMENT, shift=-2.0, thresholds={"fp32": JUDGEMENT.thresholds["fp32"]})
    report = measure(moved, CALIBRATE, judgement, CALLED, BOOTSTRAP)
    error = "expected_calibration_error"
    assert report["calibration"][error]["value"] == pytest.approx(REPORT["calibration"][error]["value"])


def test_findings_stand_beside_published_figures_that_were_confirmed() -> None:
    mass = REPORT["findings"][0]
    assert [(each["name"], each["auc"]) for each in mass["anchors"]] == [
        ("CheXNet", 0.868),
        ("Zech", 0.831),
        ("Wang", 0.706),
    ]
    assert [each["name"] for each in anchors("Hernia")] == ["CheXNet", "Zech"]
    assert anchors("Fracture") == []


def test_the_normal_film_as_the_positive_one_turns_sensitivity_and_specificity_around() -> None:
    turned, half = REPORT["normal_as_positive"], REPORT["test"]["operating_points"][HALF]
    assert (turned["positive_class"], turned["operating_point"]) == ("normal", HALF)
    assert turned["sensitivity"] == half["specificity"]["value"]
    assert turned["specificity"] == half["sensitivity"]["value"]
    assert turned["accuracy"] == half["accuracy"]["value"]


def test_only_findings_that_some_test_film_carries_have_a_curve() -> None:
    assert list(REPORT["curves"]["findings"]) == ["Mass"]
    assert REPORT["multilabel"]["films"] == REPORT["test"]["films"]


def test_the_summary_names_baselines_and_their_distance() -> None:
    console = Console(width=200, file=io.StringIO())
    console.print(summary_table(REPORT))
    text = console.file.getvalue()
    assert "hog logistic regression" in text
    assert "network ahead by" in text
