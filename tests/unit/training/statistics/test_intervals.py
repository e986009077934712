"""Patients are drawn, not films; exact bounds are those of scipy and of the books."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import beta, binom, binomtest

from training.statistics.intervals import Bootstrap, exact_interval, interval, miss_bound, miss_rate_p_value
from training.statistics.metrics import weighted_auc


def test_the_bootstrap_draws_patients_not_films() -> None:
    patients = np.repeat(["a", "b", "c"], [5, 1, 2])
    for weights in Bootstrap(replicates=250, seed=0).weights(patients):
        assert (weights[:, :5] == weights[:, :1]).all()
        assert (weights[:, 0] + weights[:, 5] + weights[:, 6] == 3).all()


def test_the_bootstrap_gives_as_many_draws_as_asked_and_the_same_ones_again() -> None:
    patients = np.array([str(number) for number in range(7)])
    bootstrap = Bootstrap(replicates=250, seed=3)
    first = np.concatenate(list(bootstrap.weights(patients)))
    assert first.shape == (250, 7)
    np.testing.assert_array_equal(first, np.concatenate(list(bootstrap.weights(patients))))


def test_every_patient_is_drawn_as_often_as_the_others() -> None:
    patients = np.array([str(number) for number in range(20)])
    drawn = np.concatenate(list(Bootstrap(replicates=2000, seed=0).weights(patients)))
    assert drawn.mean(axis=0) == pytest.approx(np.ones(20), abs=0.1)
    assert drawn.var(axis=0) == pytest.approx(np.full(20, 1 - 1 / 20), abs=0.15)


def test_figures_of_no_films_are_undefined_draws() -> None:
    labels, scores, patients = np.zeros(0, dtype=np.int64), np.zeros(0), np.zeros(0, dtype=np.str_)
    draws = Bootstrap(replicates=100, seed=0).draws(
        patients, lambda weights: {"auc": weighted_auc(labels, scores, weights)}
    )
    assert draws["auc"].shape == (100,)
    assert interval(draws["auc"]) is None


def test_films_of_one_patient_widen_the_interval() -> None:
    rng = np.random.default_rng(0)
    level = np.repeat(rng.normal(size=60), 8)
    labels = np.repeat(rng.integers(0, 2, 60), 8)
    scores, patients = level + 0.1 * rng.normal(size=480) + labels, np.repeat(np.arange(60).astype(np.str_), 8)

    def width(units: np.ndarray) -> float:
        draws = Bootstrap(replicates=500, seed=1).draws(units, lambda w: {"auc": weighted_auc(labels, scores, w)})
        low, high = interval(draws["auc"])
        return high - low

    assert width(patients) > 1.8 * width(np.arange(480).astype(np.str_))


@pytest.mark.parametrize(("count", "of"), [(0, 10), (3, 10), (10, 10), (83, 2000)])
def test_exact_intervals_are_clopper_and_pearson(count: int, of: int) -> None:
    low, high = exact_interval(count, of)
    expected = binomtest(count, of).proportion_ci(0.95, method="exact")
    assert (low, high) == pytest.approx((expected.low, expected.high))
    assert low == pytest.approx(0 if count == 0 else beta.ppf(0.025, count, of - count + 1))
    assert high == pytest.approx(1 if count == of else beta.ppf(0.975, count + 1, of - count))


def test_nothing_looked_at_bounds_nothing() -> None:
    assert exact_interval(0, 0) is None
    assert miss_bound(0, 0, 0.95) == 1.0
    assert miss_bound(5, 5, 0.95) == 1.0


@pytest.mark.parametrize(("misses", "positives"), [(0, 59), (4, 191), (83, 2000)])
def test_the_miss_bound_is_where_so_few_misses_get_unlikely(misses: int, positives: int) -> None:
    bound = miss_bound(misses, positives, 0.95)
    assert binom.cdf(misses, positives, bound) == pytest.approx(0.05)
    expected = binomtest(misses, positives, alternative="less").proportion_ci(0.95, method="exact").high
    assert bound == pytest.approx(expected)


def test_a_p_value_is_the_chance_of_so_many_misses_or_more() -> None:
    assert miss_rate_p_value(10, 100, 0.05) == pytest.approx(binom.sf(9, 100, 0.05))
    assert miss_rate_p_value(0, 100, 0.05) == pytest.approx(1.0)
