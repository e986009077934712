from services.api.backpressure import LONGEST_SECONDS, SHORTEST_SECONDS, Backpressure, with_jitter


class Clock:
    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def finish(backpressure: Backpressure, clock: Clock, *, films_per_second: int, seconds: int) -> None:
    for _ in range(seconds):
        clock.seconds += 1
        for _ in range(films_per_second):
            backpressure.film_done()


def test_faster_drain_means_a_shorter_wait() -> None:
    waits = []
    for rate in (1, 10):
        clock = Clock()
        backpressure = Backpressure(backlog=1000, clock=clock)
        finish(backpressure, clock, films_per_second=rate, seconds=60)
        waits.append(backpressure.full_queue_seconds())
    assert 50 <= waits[0] <= 75
    assert 5 <= waits[1] <= 8


def test_rate_forgets_what_was_long_ago() -> None:
    clock = Clock()
    backpressure = Backpressure(backlog=1000, clock=clock)
    finish(backpressure, clock, films_per_second=5, seconds=30)
    assert backpressure.films_per_second() == 5
    clock.seconds += 61
    assert backpressure.films_per_second() == 0


def test_wait_is_bounded_whatever_the_rate() -> None:
    clock = Clock()
    backpressure = Backpressure(backlog=1_000_000, clock=clock)
    backpressure.film_done()
    assert backpressure.full_queue_seconds() == LONGEST_SECONDS
    assert with_jitter(0) == SHORTEST_SECONDS
