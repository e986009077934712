"""Over 1,000 calibrations against a population whose miss rate is known, thresholds keep what they promise.

Beside each, the rule that people use instead is shown to break it in the same draws.
"""

from __future__ import annotations

import numpy as np
import pytest

from tests.support.guarantees import (
    Population,
    certified_by_film,
    certified_by_patient,
    expected_by_patient,
    miss_rates,
    plain_quantile,
    violation_p_value,
)

DRAWS = 1000
ALLOWED = PROMISED = 0.05
# Below this chance a promise of 5 % counts as broken.
BROKEN = 0.001

ALONE = Population(patients=200)
CLUSTERED = Population(patients=200, films=6, correlation=0.5)


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("population", [ALONE, CLUSTERED], ids=["alone", "clustered"])
def test_certificates_are_broken_no_more_often_than_they_say(population: Population, seed: int) -> None:
    certified = miss_rates(certified_by_patient(0.95, 0.95), population, draws=DRAWS, seed=seed)
    assert violation_p_value(certified, allowed=ALLOWED, promised=PROMISED) >= BROKEN
    assert 0 < np.mean(certified > ALLOWED) <= 0.05


@pytest.mark.parametrize("population", [ALONE, CLUSTERED], ids=["alone", "clustered"])
def test_the_plain_quantile_breaks_the_same_promise_about_every_second_time(population: Population) -> None:
    plain = miss_rates(plain_quantile(0.95), population, draws=DRAWS, seed=1)
    assert np.mean(plain > ALLOWED) > 0.4
    assert violation_p_value(plain, allowed=ALLOWED, promised=PROMISED) < BROKEN


def test_certifying_on_films_breaks_it_where_patients_have_several() -> None:
    by_film = miss_rates(certified_by_film(0.95, 0.95), CLUSTERED, draws=DRAWS, seed=1)
    assert np.mean(by_film > ALLOWED) > 0.10
    assert violation_p_value(by_film, allowed=ALLOWED, promised=PROMISED) < BROKEN


@pytest.mark.parametrize("population", [ALONE, CLUSTERED], ids=["alone", "clustered"])
def test_the_expected_point_holds_its_mean_and_no_more(population: Population) -> None:
    rates = miss_rates(expected_by_patient(0.95), population, draws=DRAWS, seed=1)
    standard_error = rates.std() / np.sqrt(DRAWS)
    assert rates.mean() <= ALLOWED + 3 * standard_error
    assert rates.mean() > 0.8 * ALLOWED
    assert np.mean(rates > ALLOWED) > 0.2


def test_the_population_is_what_it_says() -> None:
    scores, _ = next(Population(patients=4000, films=3, correlation=0.5).calibrations(1, seed=0))
    assert scores.mean() == pytest.approx(0, abs=0.05)
    assert scores.std() == pytest.approx(1, abs=0.05)
    assert np.corrcoef(scores[:, 0], scores[:, 1])[0, 1] == pytest.approx(0.5, abs=0.05)
