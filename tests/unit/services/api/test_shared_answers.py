"""One question to Redis for many who ask, and nobody is told what was true before it asked."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from services.api.shared_answers import Pace, SharedLook, SharedPages, SharedQuestions
from services.jobs.errors import QueueUnavailable


class Source:
    """Answers when it is let, with how often it was asked."""

    def __init__(self) -> None:
        self.asked = 0
        self.was_asked = asyncio.Event()
        self.may_answer = asyncio.Event()
        self.fault: Exception | None = None

    async def __call__(self) -> str:
        self.asked += 1
        self.was_asked.set()
        mine, fault = self.asked, self.fault
        await self.may_answer.wait()
        if fault is not None:
            raise fault
        return str(mine)


def ask(look: SharedLook, times: int) -> list[asyncio.Task[str]]:
    return [asyncio.create_task(look()) for _ in range(times)]


async def test_who_comes_together_shares_one_look() -> None:
    source = Source()
    look = SharedLook(source)
    asking = ask(look, 100)
    await source.was_asked.wait()
    source.may_answer.set()
    assert set(await asyncio.gather(*asking)) == {"1"}
    assert source.asked == 1


async def test_who_comes_after_a_look_began_is_told_of_a_later_one() -> None:
    source = Source()
    look = SharedLook(source)
    early = ask(look, 3)
    await source.was_asked.wait()
    late = ask(look, 100)
    source.may_answer.set()
    assert set(await asyncio.gather(*early)) == {"1"}
    assert set(await asyncio.gather(*late)) == {"2"}
    assert await look() == "3"


async def test_failure_is_told_to_all_who_wait_and_forgotten_then() -> None:
    source = Source()
    look = SharedLook(source)
    source.fault = QueueUnavailable("no answer")
    early = ask(look, 2)
    await source.was_asked.wait()
    late = ask(look, 2)
    await asyncio.sleep(0)
    source.may_answer.set()
    answers = await asyncio.gather(*early, *late, return_exceptions=True)
    assert [type(answer) for answer in answers] == [QueueUnavailable] * 4
    assert source.asked == 1, "those who came late need not find out for themselves"
    source.fault = None
    assert await look() == "2"


async def test_one_who_goes_away_takes_nothing_from_the_others() -> None:
    source = Source()
    look = SharedLook(source)
    impatient, patient = ask(look, 2)
    await source.was_asked.wait()
    impatient.cancel()
    source.may_answer.set()
    assert await patient == "1"
    with pytest.raises(asyncio.CancelledError):
        await impatient


async def test_page_is_made_once_for_all_who_ask_for_it() -> None:
    made: list[str] = []

    async def page() -> bytes:
        made.append("a")
        await asyncio.sleep(0)
        return b"page"

    pages = SharedPages()
    assert set(await asyncio.gather(*(pages.page("tag", page) for _ in range(50)))) == {b"page"}
    assert await pages.page("tag", page) == b"page"
    assert made == ["a"]
    await pages.page("other tag", page)
    assert made == ["a", "a"]


async def test_page_that_failed_is_made_anew() -> None:
    async def fails() -> bytes:
        raise QueueUnavailable("no answer")

    async def page() -> bytes:
        return b"page"

    pages = SharedPages()
    for _ in range(2):
        with pytest.raises(QueueUnavailable):
            await pages.page("tag", fails)
    assert await pages.page("tag", page) == b"page"


async def test_pages_that_nobody_asked_for_lately_are_forgotten() -> None:
    made: list[str] = []

    async def make(tag: str) -> bytes:
        made.append(tag)
        return tag.encode()

    pages = SharedPages(most=2)
    for tag in ("a", "b", "a", "c", "a", "b"):
        assert await pages.page(tag, lambda tag=tag: make(tag)) == tag.encode()  # type: ignore[misc]  # a default binds it
    assert made == ["a", "b", "c", "b"]


async def test_look_keeps_its_pause_and_all_who_come_meanwhile_share_the_next_one() -> None:
    source = Source()
    source.may_answer.set()
    look = SharedLook(source, pace=Pace(seconds=0.05))
    began = asyncio.get_running_loop().time()
    assert await look() == "1"
    assert set(await asyncio.gather(*ask(look, 20))) == {"2"}
    assert asyncio.get_running_loop().time() - began >= 0.05


async def test_few_looks_that_follow_each_other_wait_for_nothing_and_more_keep_the_pace(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    waited: list[float] = []
    sleep = asyncio.sleep

    async def noted(seconds: float) -> None:
        waited.append(seconds)
        await sleep(seconds)

    monkeypatch.setattr(asyncio, "sleep", noted)
    source = Source()
    source.may_answer.set()
    look = SharedLook(source, pace=Pace(seconds=0.05, at_once=3))
    began = asyncio.get_running_loop().time()
    assert [await look() for _ in range(3)] == ["1", "2", "3"]
    assert waited == []
    assert [await look() for _ in range(2)] == ["4", "5"]
    assert asyncio.get_running_loop().time() - began >= 2 * 0.05


async def test_questions_that_come_together_are_asked_together_and_each_has_its_own_answer() -> None:
    looks: list[list[str]] = []

    async def look(questions: Sequence[str]) -> list[str]:
        looks.append(list(questions))
        await asyncio.sleep(0)
        return [question.upper() for question in questions]

    shared = SharedQuestions(look, pace=Pace(seconds=0.01))
    assert await asyncio.gather(*map(shared, ["a", "b", "a"])) == ["A", "B", "A"]
    assert await asyncio.gather(*map(shared, ["a", "c"])) == ["A", "C"]
    assert looks == [["a", "b"], ["a", "c"]], "what was answered before is asked again: it may be another answer by now"


async def test_question_that_comes_while_a_look_is_under_way_is_asked_by_a_later_one() -> None:
    looks: list[list[str]] = []
    has_begun, may_answer = [asyncio.Event(), asyncio.Event()], asyncio.Event()

    async def look(questions: Sequence[str]) -> list[str]:
        has_begun[len(looks)].set()
        looks.append(list(questions))
        await may_answer.wait()
        return list(questions)

    shared = SharedQuestions(look)
    early = asyncio.create_task(shared("a"))
    await has_begun[0].wait()
    late = asyncio.create_task(shared("a"))
    await has_begun[1].wait()
    may_answer.set()
    assert await asyncio.gather(early, late) == ["a", "a"]
    assert looks == [["a"], ["a"]]


async def test_questions_that_failed_fail_for_all_who_asked_and_are_asked_again() -> None:
    faults: list[Exception] = [QueueUnavailable("no answer")]

    async def look(questions: Sequence[str]) -> list[str]:
        if faults:
            raise faults.pop()
        return list(questions)

    shared = SharedQuestions(look)
    answers = await asyncio.gather(shared("a"), shared("b"), return_exceptions=True)
    assert [type(answer) for answer in answers] == [QueueUnavailable] * 2
    assert await shared("a") == "a"
