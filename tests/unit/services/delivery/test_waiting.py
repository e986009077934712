from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from services.delivery.circuit import Circuit
from services.delivery.waiting import Backoff

BACKOFF = Backoff(first_seconds=1.0, longest_seconds=900.0)


def test_longest_wait_doubles_until_its_bound() -> None:
    assert [BACKOFF.bound(failures) for failures in (0, 1, 2, 3, 4)] == [0.0, 1.0, 2.0, 4.0, 8.0]
    assert BACKOFF.bound(11) == 900.0
    assert BACKOFF.bound(10**9) == 900.0


@given(failures=st.integers(1, 100), asked=st.floats(0, 10**6))
def test_every_wait_is_within_the_bound_or_what_the_target_asked_for(failures: int, asked: float) -> None:
    wait = BACKOFF.wait(failures, at_least=asked)
    assert min(asked, 900.0) <= wait <= max(BACKOFF.bound(failures), min(asked, 900.0))


def test_waits_are_spread_over_the_whole_bound() -> None:
    waits = [BACKOFF.wait(11) for _ in range(1000)]
    assert min(waits) < 90
    assert max(waits) > 810


def circuit() -> Circuit:
    return Circuit(failures=3, width=4, pauses=Backoff(first_seconds=1.0, longest_seconds=60.0))


def test_circuit_lets_one_probe_through_after_failures_in_a_row_and_all_after_one_answer() -> None:
    target = circuit()
    for _ in range(2):
        target.failed()
    assert (target.is_open, target.width, target.pause()) == (False, 4, 0.0)
    target.failed()
    assert (target.is_open, target.width) == (True, 1)
    assert 0 <= target.pause() <= 1.0
    target.answered()
    assert (target.is_open, target.width, target.pause()) == (False, 4, 0.0)


def test_failures_with_answers_between_them_open_no_circuit() -> None:
    target = circuit()
    for _ in range(10):
        target.failed()
        target.failed()
        target.answered()
    assert not target.is_open


def test_probes_of_a_target_that_stays_away_get_no_rarer_than_their_bound() -> None:
    target = circuit()
    for _ in range(10_000):
        target.failed()
    assert all(target.pause() <= 60.0 for _ in range(100))
