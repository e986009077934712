"""One question to Redis for many who ask, and nobody is told what was true before it asked."""

from __future__ import annotations

import asyncio

import pytest

from services.api.shared_answers import SharedLook, SharedPages
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
