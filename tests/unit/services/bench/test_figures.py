import pytest

from services.bench.figures import Latency, Measured
from services.bench.load import Run, Sample


def sample(
    due: float, ended: float, *, kind: str = "flagged", is_good: bool = True, sent: float | None = None
) -> Sample:
    accepted = (due + ended) / 2 if is_good else None
    return Sample(
        number=0,
        due=due,
        sent=due if sent is None else sent,
        accepted=accepted,
        ended=ended,
        kind=kind,
        is_good=is_good,
    )


def test_percentiles_are_latencies_that_were_measured() -> None:
    latency = Latency.of([number / 1000 for number in range(1, 101)])
    assert latency is not None
    assert (latency.p50, latency.p90, latency.p99, latency.max) == pytest.approx((51, 91, 100, 100))


def test_no_latency_has_no_percentiles() -> None:
    assert Latency.of([]) is None


def test_failures_are_counted_and_have_neither_rate_nor_latency() -> None:
    run = Run(samples=(sample(0, 1), sample(1, 2), sample(2, 9, kind="timeout", is_good=False)), seconds=4)
    measured = Measured.of(run)
    assert (measured.sent, measured.failed, measured.ended) == (3, 1, {"flagged": 2, "timeout": 1})
    assert measured.per_second == 0.5
    assert measured.outcome is not None
    assert measured.outcome.max == 1000


def test_films_of_the_warm_up_do_not_count() -> None:
    run = Run(samples=tuple(sample(at, at + 0.5) for at in range(10)), seconds=10)
    measured = Measured.of(run, warm_up_seconds=4)
    assert (measured.sent, measured.seconds, measured.per_second) == (6, 6, 1.0)


def test_film_that_ends_after_the_run_has_a_latency_and_no_part_in_the_rate() -> None:
    measured = Measured.of(Run(samples=(sample(0, 1), sample(1, 5)), seconds=2))
    assert measured.per_second == 0.5
    assert measured.outcome is not None
    assert measured.outcome.max == 4000


def test_run_that_was_ended_early_counts_what_had_ended() -> None:
    measured = Measured.of_some([sample(0, 1), sample(1, 2.5)], warm_up_seconds=0.5)
    assert (measured.sent, measured.seconds, measured.per_second) == (1, 2.0, 1.0)
    assert Measured.of_some([]).sent == 0


def test_generator_that_is_late_says_so() -> None:
    measured = Measured.of(Run(samples=(sample(0, 1, sent=0.25),), seconds=1))
    assert measured.lag is not None
    assert measured.lag.max == 250
