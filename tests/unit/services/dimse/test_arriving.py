"""A film while it arrives: what it may take, and what is left of it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from services.dimse.arriving import ArrivalLimits, ArrivingFilm, StoreRequest
from services.dimse.errors import FilmAbsent, FilmTooLarge, FilmTooSlow
from services.jobs.errors import QueueFull, SpoolFull
from services.jobs.records import Priority
from services.jobs.spool import Spool
from tests.support.films import CR_STORAGE, EXPLICIT

MEBIBYTE = 1024**2
REQUEST = StoreRequest(
    sop_class_uid=CR_STORAGE,
    sop_instance_uid="1.2.3",
    transfer_syntax_uid=EXPLICIT,
    abstract_syntax_uid=CR_STORAGE,
    calling_ae_title="ROOM 1",
    priority=Priority.ROUTINE,
)


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def arriving(
    spool: Spool,
    *,
    film_bytes: int = 8 * MEBIBYTE,
    clock: Clock | None = None,
    look: Callable[[], None] = lambda: None,
) -> ArrivingFilm:
    limits = ArrivalLimits(film_bytes=film_bytes, film_seconds=10.0)
    return ArrivingFilm(REQUEST, spool, limits, look_for_room=look, clock=clock or Clock())


def drafts(tmp_path: Path) -> list[Path]:
    return list((tmp_path / "spool" / "tmp").iterdir())


def test_head_and_fragments_are_the_payload(spool: Spool) -> None:
    film = arriving(spool)
    film.write(b"one")
    film.write(b"two")
    assert film.whole().content() == REQUEST.head + b"onetwo"
    film.discard()


def test_a_film_in_fragments_of_a_byte_is_the_same(spool: Spool) -> None:
    film = arriving(spool)
    content = bytes(range(256)) * 1000
    for byte in content:
        film.write(bytes([byte]))
    assert film.whole().content() == REQUEST.head + content
    film.discard()


def test_a_film_beyond_its_bound_is_gone_at_once_and_the_rest_is_dropped(spool: Spool, tmp_path: Path) -> None:
    film = arriving(spool, film_bytes=2 * MEBIBYTE)
    for _ in range(31):
        film.write(b"x" * 64 * 1024)
    assert drafts(tmp_path)
    film.write(b"x" * 64 * 1024)
    film.write(b"x" * 64 * 1024)
    assert not drafts(tmp_path)
    assert spool.usage.payload_bytes == 0
    film.write(b"x" * MEBIBYTE)
    assert spool.usage.payload_bytes == 0
    with pytest.raises(FilmTooLarge):
        film.whole()


def test_a_film_without_room_is_refused_when_all_of_it_has_come(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool", quota_bytes=2 * MEBIBYTE, minimum_free_ratio=0.0)
    film = arriving(spool)
    for _ in range(64):
        film.write(b"x" * 64 * 1024)
    assert not drafts(tmp_path)
    with pytest.raises(SpoolFull):
        film.whole()


def test_a_film_has_so_much_time_and_no_more(spool: Spool) -> None:
    clock = Clock()
    film = arriving(spool, clock=clock)
    clock.now = 10.0
    film.write(b"in time")
    clock.now = 10.1
    with pytest.raises(FilmTooSlow):
        film.write(b"too late")
    film.discard()


def test_the_first_reason_to_refuse_a_film_counts(spool: Spool) -> None:
    film = arriving(spool)
    film.refuse(FilmAbsent("first"))
    film.refuse(FilmTooLarge("second"))
    with pytest.raises(FilmAbsent):
        film.whole()


def test_nothing_is_left_of_a_film_that_is_let_go(spool: Spool, tmp_path: Path) -> None:
    film = arriving(spool)
    film.write(b"x" * 3 * MEBIBYTE)
    assert drafts(tmp_path)
    film.discard()
    film.discard()
    assert not drafts(tmp_path)
    assert spool.usage.payload_bytes == 0


def test_only_a_large_film_asks_for_room_and_asks_once(spool: Spool) -> None:
    asked: list[bool] = []
    film = arriving(spool, look=lambda: asked.append(True))
    film.write(b"x" * (MEBIBYTE - len(REQUEST.head)))
    assert not asked
    film.write(b"x")
    film.write(b"x" * MEBIBYTE)
    assert asked == [True]
    film.discard()


def test_a_large_film_for_which_there_is_no_room_is_never_written(spool: Spool, tmp_path: Path) -> None:
    def look() -> None:
        raise QueueFull("the backlog is at its limit")

    film = arriving(spool, look=look)
    for _ in range(64):
        film.write(b"x" * 64 * 1024)
        assert not drafts(tmp_path)
    with pytest.raises(QueueFull):
        film.whole()
