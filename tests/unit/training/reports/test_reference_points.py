"""What costs nothing to reach, held against the product's figures of scored films and against counting."""

from __future__ import annotations

import numpy as np
import pytest

from training.reports.reference_points import binormal_auc, constant_predictor, leaked_share, marginal_truths
from training.statistics.metrics import auc


def test_constant_predictor_is_the_flattened_figure_of_the_shares() -> None:
    positives, films = (30, 5, 1), 100
    truths = marginal_truths(positives, films)
    assert truths.sum(axis=0).tolist() == list(positives)
    scores = np.tile(np.array(positives) / films, films)
    found = constant_predictor(positives, films, threshold=0.2)
    assert found.flattened_auc == auc(truths.ravel(), scores)
    assert found.binary_accuracy == pytest.approx((30 + 95 + 99) / 300)
    assert found.averages["micro"]["recall"] == pytest.approx(30 / 36)
    assert found.averages["macro"]["precision"] == pytest.approx(0.3 / 3)


def test_constant_predictor_of_equal_shares_ranks_nothing() -> None:
    assert constant_predictor((10, 10), 100).flattened_auc == 0.5


def test_leaked_share_is_that_of_films_dealt_at_random() -> None:
    of_patients, train = {1: 300, 2: 200, 5: 100}, 0.7
    patients = np.repeat(np.arange(600), np.repeat([1, 2, 5], [300, 200, 100]))
    rng, leaked, tested = np.random.default_rng(3), 0, 0
    for _ in range(60):
        in_train = rng.random(len(patients)) < train
        leaked += int(np.isin(patients[~in_train], patients[in_train]).sum())
        tested += int((~in_train).sum())
    assert leaked / tested == pytest.approx(leaked_share(of_patients, train), abs=0.01)


def test_films_without_siblings_cannot_leak() -> None:
    assert leaked_share({1: 10}, 0.9) == 0


def test_a_point_of_chance_lies_on_a_curve_of_chance() -> None:
    assert binormal_auc(0.3, 0.7) == pytest.approx(0.5)
    assert binormal_auc(0.9, 0.9) > 0.95
