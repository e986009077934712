"""Comparisons are paired, variants are judged at their own thresholds, and a broken certificate is noticed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import binom

from tests.support.scored_films import invented_films
from training.statistics.intervals import Bootstrap
from training.statistics.rivals import certificate_checks, compare, compare_variants, exact_check, finding_figures
from training.statistics.thresholds import FLAG_EVERYTHING

BOOTSTRAP = Bootstrap(replicates=200, seed=1)


def test_a_rival_that_is_oneself_is_not_beaten() -> None:
    films = invented_films()
    found = compare(films, films.scores, BOOTSTRAP)
    assert found["network_ahead_by"] == {"value": 0.0, "low": 0.0, "high": 0.0, "note": None}


def test_too_few_patients_compare_nothing() -> None:
    few = invented_films(patients=6)
    for found in compare(few, few.scores, BOOTSTRAP).values():
        assert found["value"] is None
        assert found["low"] is None
        assert "n too small" in found["note"]


def test_pairing_narrows_the_interval_of_a_difference() -> None:
    films = invented_films()
    found = compare(films, films.scores + np.random.default_rng(0).normal(0, 0.05, 300), BOOTSTRAP)
    ahead, its = found["network_ahead_by"], found["auc"]
    assert ahead["high"] - ahead["low"] < 0.5 * (its["high"] - its["low"])


def test_the_view_alone_has_nothing_left_within_a_view() -> None:
    films = invented_films()
    found = compare(films, films.rivals["view_only"], BOOTSTRAP)
    assert found["auc"]["value"] > 0.53
    assert found["view_adjusted_auc"]["value"] == pytest.approx(0.5)


def test_within_strata_a_shift_between_them_does_not_count() -> None:
    films = invented_films()
    strata = np.repeat(["0", "1"], 150)
    moved = replace(films, scores=films.scores + 5.0 * (strata == "1"))
    assert compare(moved, films.scores, BOOTSTRAP, strata=strata)["network_ahead_by"]["value"] == pytest.approx(0)


def test_variants_are_compared_at_their_own_thresholds() -> None:
    films = invented_films()
    # A variant that answers half of everything, certified on its own graph, decides the same.
    halved = replace(films, variants={"fp32": films.scores, "int8": films.scores / 2})
    thresholds = {"fp32": {"sens95": 0.4}, "int8": {"sens95": 0.2}}
    found = compare_variants(halved, thresholds, BOOTSTRAP, reference="fp32")
    assert found["int8"]["decision_flips"] == {"sens95": {"flips": 0, "of": 300}}
    assert found["int8"]["auc_loss"]["value"] == 0
    assert found["int8"]["max_difference"] == pytest.approx(films.scores.max() / 2)
    flipped = compare_variants(halved, {**thresholds, "int8": {"sens95": 0.25}}, BOOTSTRAP, reference="fp32")
    between = np.sum((films.scores >= 0.4) & (films.scores < 0.5))
    assert flipped["int8"]["decision_flips"]["sens95"]["flips"] == between > 0


def test_a_certificate_that_unseen_patients_contradict_is_rejected() -> None:
    films = invented_films()
    low, high = np.quantile(films.scores[films.labels == 1], (0.02, 0.3))
    checks = certificate_checks(
        films, {"sens95": (float(low), 0.95), "wrong": (float(high), 0.95), "all": (FLAG_EVERYTHING, 0.99)}, seed=0
    )
    assert not checks["sens95"]["rejected_at_01"]
    assert checks["wrong"]["rejected_at_01"]
    assert checks["wrong"]["positives"] == len(np.unique(films.patients[films.labels == 1]))
    assert checks["all"] is None


def test_the_exact_test_is_that_of_the_binomial() -> None:
    found = exact_check(9, 95, 0.95)
    assert found["p_value"] == pytest.approx(binom.sf(8, 95, 0.05))
    assert found["observed_sensitivity"] == pytest.approx(86 / 95)


def test_a_finding_that_nobody_has_gets_a_note_and_no_part_of_the_mean() -> None:
    found, mean = finding_figures(invented_films(), BOOTSTRAP)
    assert [each["finding"] for each in found] == ["Mass", "Hernia"]
    assert found[0]["auc"]["value"] == pytest.approx(mean["value"])
    assert found[1]["auc"]["note"] == "n too small: 0 positive patients"
    assert found[1]["positives"] == 0


def test_without_findings_there_is_no_mean() -> None:
    found, mean = finding_figures(replace(invented_films(), truths={}, finding_scores={}), BOOTSTRAP)
    assert found == []
    assert mean["value"] is None
