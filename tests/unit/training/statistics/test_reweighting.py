"""Reweighted figures are those of a set that really has that prevalence."""

from __future__ import annotations

import numpy as np
import pytest

from tests.support.scored_films import invented_films
from training.statistics.intervals import Bootstrap
from training.statistics.metrics import confusion
from training.statistics.reweighting import F3_HERE, at_prevalence, prevalence_tables
from training.statistics.thresholds import FLAG_EVERYTHING

BOOTSTRAP = Bootstrap(replicates=200, seed=1)
CALIBRATE = invented_films(seed=5, prefix="c", knows=2.0)


def test_figures_equal_those_of_films_repeated_to_that_prevalence() -> None:
    films = invented_films()
    counts = confusion(films.labels, films.scores, 0.45)
    healthy = counts.true_negatives + counts.false_positives
    unhealthy = counts.true_positives + counts.false_negatives
    # Every healthy film nine times as often, unhealthy ones as often as makes a tenth of all.
    labels = np.concatenate([np.repeat(films.labels, np.where(films.labels == 0, 9 * unhealthy, healthy))])
    scores = np.repeat(films.scores, np.where(films.labels == 0, 9 * unhealthy, healthy))
    repeated = confusion(labels, scores, 0.45)
    found = at_prevalence(np.array([counts.sensitivity]), np.array([1 - counts.specificity]), 0.1)
    assert labels.mean() == pytest.approx(0.1)
    assert found["f3"][0] == pytest.approx(repeated.f3)
    assert found["f3_skill"][0] == pytest.approx(repeated.f3_skill)
    assert found["ppv"][0] == pytest.approx(repeated.ppv)
    assert found["npv"][0] == pytest.approx(repeated.npv)
    cleared = repeated.true_negatives + repeated.false_negatives
    assert found["cleared_per_1000"][0] == pytest.approx(1000 * cleared / len(labels))
    assert found["missed_per_1000"][0] == pytest.approx(1000 * repeated.false_negatives / len(labels))


def test_its_own_prevalence_changes_nothing() -> None:
    films = invented_films()
    own = [
        table for table in prevalence_tables(films, CALIBRATE, {"sens95": 0.3}, (0.1,), BOOTSTRAP) if table["is_own"]
    ]
    assert len(own) == 1
    counts = confusion(films.labels, films.scores, 0.3)
    assert own[0]["operating_points"]["sens95"]["f3"]["value"] == pytest.approx(counts.f3)
    assert own[0]["operating_points"]["sens95"]["npv"]["value"] == pytest.approx(counts.npv)


def test_flagging_everything_clears_nobody_at_any_prevalence() -> None:
    for table in prevalence_tables(
        invented_films(), CALIBRATE, {"everything": FLAG_EVERYTHING}, (0.05, 0.6), BOOTSTRAP
    ):
        point = table["operating_points"]["everything"]
        assert point["f3"]["value"] == pytest.approx(table["f3_flag_everything"])
        assert point["f3_skill"]["value"] == pytest.approx(0)
        assert point["cleared_per_1000"]["value"] == pytest.approx(0)
        assert point["npv"]["value"] is None


def test_the_optimum_of_a_low_prevalence_beats_flagging_everything_there() -> None:
    films = invented_films(seed=8, knows=2.0, patients=300)
    low = prevalence_tables(films, CALIBRATE, {"f3": 0.05}, (0.1,), BOOTSTRAP)[0]
    here = low["operating_points"][F3_HERE]
    assert here["f3_skill"]["low"] > 0
    assert here["f3"]["value"] > low["operating_points"]["f3"]["f3"]["value"]


def test_one_class_alone_has_no_prevalence_tables() -> None:
    films = invented_films()
    assert prevalence_tables(films.where(films.labels == 1), CALIBRATE, {"f3": 0.3}, (0.1,), BOOTSTRAP) == []
