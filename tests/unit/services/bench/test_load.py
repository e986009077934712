"""The two loops, with deliveries that are directed by events: no test here waits for a clock to be believed."""

import asyncio
import time

from services.bench.load import Ending, Sample, run_closed, run_open

GOOD = Ending(kind="flagged", is_good=True)


async def test_closed_loop_sends_each_film_once_and_never_more_at_once_than_asked() -> None:
    under_way, most, numbers = 0, 0, []

    async def deliver(number: int) -> Ending:
        nonlocal under_way, most
        numbers.append(number)
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0)
        under_way -= 1
        return GOOD

    run = await run_closed(deliver, concurrency=3, films=20)
    assert sorted(numbers) == list(range(20))
    assert most == 3
    assert sorted(sample.number for sample in run.samples) == list(range(20))


async def test_closed_loop_waits_for_the_film_under_way_when_time_is_up() -> None:
    async def deliver(_: int) -> Ending:
        await asyncio.sleep(1.1)
        return GOOD

    run = await run_closed(deliver, concurrency=1, seconds=1.0)
    assert len(run.samples) == 1
    assert run.samples[0].ended > run.seconds == 1.0


async def test_open_loop_sends_films_at_their_times_though_an_earlier_one_hangs() -> None:
    others = asyncio.Event()

    async def deliver(number: int) -> Ending:
        if number == 0:
            await others.wait()  # would wait for ever in a closed loop of one
        elif number == 2:
            others.set()
        return GOOD

    run = await run_open(deliver, arrivals=[0.0, 0.001, 0.002])
    assert {sample.due for sample in run.samples} == {0.0, 0.001, 0.002}
    assert all(sample.sent >= sample.due for sample in run.samples)


async def test_latency_of_a_film_that_is_sent_late_counts_from_when_it_was_due() -> None:
    async def deliver(number: int) -> Ending:
        if number == 0:
            time.sleep(0.2)  # noqa: ASYNC251 - the generator itself is held up
        return GOOD

    run = await run_open(deliver, arrivals=[0.0, 0.01])
    late = run.samples[-1]
    assert late.due == 0.01
    assert late.ended - late.due > 0.15


async def test_every_film_is_reported_as_it_ends() -> None:
    seen: list[Sample] = []

    async def deliver(number: int) -> Ending:
        return Ending(kind="queue_full", is_good=False) if number else GOOD

    run = await run_closed(deliver, concurrency=1, films=2, on_sample=seen.append)
    assert tuple(seen) == run.samples
    assert [(sample.kind, sample.is_good) for sample in seen] == [("flagged", True), ("queue_full", False)]
