"""What a sender is told before anything is asked of Redis."""

import asyncio
import io
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.dicom.codes import Status
from services.dimse.arriving import ArrivalLimits, StoreRequest
from services.dimse.storing import Answer, FilmStore, Sender
from services.jobs.connection import connect_gateway
from services.jobs.errors import QueueUnsafe
from services.jobs.ledger.trail import AuditTrail
from services.jobs.queue import JobQueue
from services.jobs.records import Priority
from services.jobs.settings import RedisSettings
from services.jobs.spool import Spool
from tests.support.dimse import data_set_of
from tests.support.films import CR_STORAGE, CT_STORAGE, EXPLICIT, dicom_film
from tests.support.key_objects import KEY_OBJECT_SELECTION

KNOWN = Sender(ae_title="ROOM 1", address="192.0.2.1")
STRANGER = Sender(ae_title="STRANGER", address="192.0.2.2")


@pytest.fixture
def store(spool: Spool, tmp_path: Path) -> Iterator[FilmStore]:
    """A store whose Redis is away; its loop runs in a thread of its own, as that of the process does."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield FilmStore(
        spool=spool,
        queue=JobQueue(connect_gateway(RedisSettings.model_validate({"url": f"unix://{tmp_path}/nowhere"}))),
        audit=AuditTrail(tmp_path / "audit", "dimse"),
        callers={"ROOM 1": "north"},
        limits=ArrivalLimits(film_bytes=8 * 1024**2, film_seconds=60.0),
        loop=loop,
    )
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


def request(sop_class: str = CR_STORAGE, *, negotiated: str | None = None, instance: str = "1.2.3") -> StoreRequest:
    return StoreRequest(
        sop_class_uid=sop_class,
        sop_instance_uid=instance,
        transfer_syntax_uid=EXPLICIT,
        abstract_syntax_uid=negotiated or sop_class,
        calling_ae_title="ROOM 1",
        priority=Priority.ROUTINE,
    )


def answer(store: FilmStore, request: StoreRequest, data: bytes, sender: Sender = KNOWN) -> Answer:
    film = store.begin(request)
    for piece in iter(io.BytesIO(data).read1, b""):
        film.write(piece)
    told = store.store(film, sender)
    film.discard()
    return told


def test_a_caller_without_a_site_is_not_authorised(store: FilmStore) -> None:
    told = answer(store, request(), b"", STRANGER)
    assert told == Answer(status=Status.NOT_AUTHORISED, comment="caller_not_known")


def test_a_request_without_a_data_set_is_not_understood(store: FilmStore) -> None:
    assert store.store(None, KNOWN) == Answer(status=Status.CANNOT_UNDERSTAND, comment="film_absent")


def test_a_class_under_the_context_of_another_is_not_supported(store: FilmStore) -> None:
    told = answer(store, request(CT_STORAGE, negotiated=CR_STORAGE), b"")
    assert told == Answer(status=Status.SOP_CLASS_NOT_SUPPORTED, comment="sop_class_not_taken")


def test_another_instance_than_named_does_not_match(store: FilmStore) -> None:
    told = answer(store, request(), data_set_of(dicom_film()))
    assert told == Answer(status=Status.MISMATCH, comment="data_set_mismatch")


def test_a_redis_that_could_lose_films_gets_none(store: FilmStore) -> None:
    store.trouble = QueueUnsafe("no AOF")
    told = answer(store, request(), data_set_of(dicom_film()))
    assert told == Answer(status=Status.OUT_OF_RESOURCES, comment="queue_unsafe")


def test_a_key_object_has_a_bound_of_its_own(store: FilmStore) -> None:
    told = answer(store, request(KEY_OBJECT_SELECTION), b"\0" * 2 * 1024**2)
    assert told == Answer(status=Status.CANNOT_UNDERSTAND, comment="film_too_large")


@pytest.mark.parametrize("side", [64, 1024])
def test_without_redis_small_films_and_large_ones_are_out_of_resources(store: FilmStore, side: int) -> None:
    film = dicom_film(rows=side, columns=side, SOPInstanceUID="1.2.3")
    told = answer(store, request(), data_set_of(film))
    assert told == Answer(status=Status.OUT_OF_RESOURCES, comment="queue_unavailable")


def test_nothing_is_kept_of_what_was_refused(store: FilmStore, spool: Spool, tmp_path: Path) -> None:
    answer(store, request(), b"x" * 3 * 1024**2)
    assert spool.usage.payload_bytes == 0
    assert not [path for path in (tmp_path / "spool").rglob("*") if path.is_file()]
