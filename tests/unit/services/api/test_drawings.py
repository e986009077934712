"""Pictures are drawn so many at once, and a caller that would wait too long is told so."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest

from services.api.drawings import Drawings
from services.api.errors import PicturesBusy
from services.jobs.errors import PictureGone


@pytest.fixture
def drawings() -> Iterator[Drawings]:
    drawings = Drawings(threads=1, most_waiting=1)
    yield drawings
    drawings.close()


async def test_more_callers_than_may_wait_are_refused_until_there_is_room(drawings: Drawings) -> None:
    is_released = threading.Event()

    def draw_slowly() -> bytes:
        assert is_released.wait(timeout=60)
        return b"png"

    try:
        held = [asyncio.ensure_future(drawings.draw(draw_slowly)) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(PicturesBusy):
            await drawings.draw(draw_slowly)
        held[1].cancel()
        await asyncio.gather(held[1], return_exceptions=True)
        with pytest.raises(PicturesBusy):
            await drawings.draw(draw_slowly)
        assert await asyncio.to_thread(lambda: b"upload") == b"upload", "other threads are free"
    finally:
        is_released.set()
    assert await held[0] == b"png"
    assert await drawings.draw(draw_slowly) == b"png"


async def test_a_picture_that_is_gone_gives_its_place_back(drawings: Drawings) -> None:
    def find_nothing() -> bytes:
        raise PictureGone

    for _ in range(5):
        with pytest.raises(PictureGone):
            await drawings.draw(find_nothing)
