import itertools

import pytest

from services.bench.arrivals import Arrivals, arrival_times


def test_steady_arrivals_do_not_drift() -> None:
    times = list(arrival_times(Arrivals.STEADY, per_second=10, seconds=100))
    assert len(times) == 999
    assert times[-1] == pytest.approx(99.9, abs=1e-9)


def test_random_arrivals_rise_end_in_time_and_have_their_rate() -> None:
    times = list(arrival_times(Arrivals.POISSON, per_second=50, seconds=100, seed=3))
    assert all(earlier < later for earlier, later in itertools.pairwise(times))
    assert times[-1] < 100
    # Five standard deviations of a Poisson count.
    assert len(times) == pytest.approx(5000, abs=5 * 5000**0.5)


def test_same_seed_sends_at_the_same_times() -> None:
    first, second, other = (
        list(arrival_times(Arrivals.POISSON, per_second=5, seconds=10, seed=seed)) for seed in (1, 1, 2)
    )
    assert first == second != other
