"""Senders that misbehave, or that nobody knows; what they leave behind."""

import random
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from pynetdicom.association import Association

from services.dicom.codes import Status
from services.jobs.queue import JobQueue
from tests.support.dimse import (
    VERIFICATION,
    DimseProcess,
    associated,
    begin_large_film,
    begin_store,
    cr_contexts,
    data_set_of,
    send,
    send_data,
    send_fragment,
    store_command,
)
from tests.support.films import CR_STORAGE, dicom_film
from tests.support.gateway import wait_until
from tests.support.redis_server import RedisServer

CALLING_UNKNOWN = (0x01, 0x01, 0x03)  # permanent, service user (PS3.8 table 9-21)
CALLED_UNKNOWN = (0x01, 0x01, 0x07)


@contextmanager
def running(directory: Path, redis_server: RedisServer, **settings: object) -> Iterator[DimseProcess]:
    """A listener that knows two modalities."""
    callers = '{"ROOM 1": "north", "ROOM 2": "south"}'
    with DimseProcess(directory, redis_url=redis_server.url, dimse_callers=callers, **settings) as process:
        process.wait_ready()
        yield process
        assert process.stop() == 0, process.output[-3000:]
    assert "film failed" not in process.output
    assert "uncaught" not in process.output


@pytest.fixture(scope="module")
def listener(shared_redis_server: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DimseProcess]:
    with running(tmp_path_factory.mktemp("dimse"), shared_redis_server, dimse_idle_seconds=600) as process:
        yield process


@pytest.fixture(scope="module")
def impatient(shared_redis_server: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DimseProcess]:
    settings = {f"dimse_{what}_seconds": 1.0 for what in ("network", "film", "idle")}
    with running(tmp_path_factory.mktemp("impatient"), shared_redis_server, **settings) as process:
        yield process


@pytest.fixture(autouse=True)
def _empty(listener: DimseProcess, redis_server: RedisServer) -> None:
    listener.empty_spool()


def wait_well(listener: DimseProcess) -> None:
    """Return when a film is taken; an impatient listener may cut a slow machine's senders off, too."""

    def is_taken() -> bool:
        try:
            (answer,) = send(listener.port, dicom_film(), calling="ROOM 1")
        except (AssertionError, RuntimeError):
            return False
        return "Status" in answer and answer.Status == Status.SUCCESS

    wait_until(is_taken, what="a film that is taken")


async def test_films_belong_to_the_site_of_their_caller(listener: DimseProcess, worker_queue: JobQueue) -> None:
    for calling, site in (("ROOM 1", "north"), ("ROOM 2", "south")):
        assert send(listener.port, dicom_film(), calling=calling)[0].Status == Status.SUCCESS
        ids = {path.name.partition(".")[0] for path in listener.files()}
        assert site in {(await worker_queue.record(film_id)).site for film_id in ids}


@pytest.mark.parametrize(
    ("calling", "called", "reason"),
    [("STRANGER", "CXR_TRIAGE", CALLING_UNKNOWN), ("ROOM 1", "OTHER_SCP", CALLED_UNKNOWN)],
)
def test_whom_nobody_knows_is_rejected(
    listener: DimseProcess, calling: str, called: str, reason: tuple[int, int, int]
) -> None:
    with associated(listener.port, cr_contexts(), calling=calling, called=called) as association:
        assert association.is_rejected
        answer = association.acceptor.primitive
        assert (answer.result, answer.result_source, answer.diagnostic) == reason
    assert calling not in listener.output or calling == "ROOM 1"


def test_an_abort_in_the_middle_of_a_film_leaves_nothing(listener: DimseProcess) -> None:
    with associated(listener.port, cr_contexts(), calling="ROOM 1") as association:
        begin_large_film(association, listener)
        association.abort()
    wait_until(lambda: not listener.files(), what="an empty spool")
    wait_well(listener)


def test_a_lost_connection_in_the_middle_of_a_film_leaves_nothing(listener: DimseProcess) -> None:
    with associated(listener.port, cr_contexts(), calling="ROOM 1") as association:
        begin_large_film(association, listener)
        association.dul.socket.socket.shutdown(socket.SHUT_RDWR)
        wait_until(lambda: not listener.files(), what="an empty spool")
        association.abort()
    wait_well(listener)


def test_a_film_that_takes_too_long_is_cut_off_and_leaves_nothing(impatient: DimseProcess) -> None:
    def is_cut_off() -> bool:
        with associated(impatient.port, cr_contexts(), calling="ROOM 1") as association:
            if association.is_established:
                begin_store(association, instance="1.2.3.4")
                wait_until(lambda: association.is_aborted or not _sent_more(association), what="the end")
        return "film_too_slow" in impatient.output

    wait_until(is_cut_off, what="a film that is cut off")
    wait_until(lambda: not impatient.drafts(), what="a spool without drafts")


def _sent_more(association: Association) -> bool:
    if association.is_established:
        send_fragment(association, association.accepted_contexts[0].context_id or 1, b"\x00more")
    return association.is_established


def test_a_message_before_the_last_answer_ends_the_association(listener: DimseProcess) -> None:
    with associated(listener.port, cr_contexts(), calling="ROOM 1") as association:
        context_id = begin_store(association, instance="1.2.3.4")
        send_data(association, context_id, b"x" * 100_000, is_whole=False)
        begin_store(association, instance="1.2.3.5", message_id=2)
        wait_until(lambda: association.is_aborted, what="the end of the association")
    assert listener.files() == []


@pytest.mark.parametrize(
    "fragment",
    [b"\x02data without a command", b"\x03\xff\xff\xff\xff\xff\xff\xff\xff", b"\x03", b"", b"\x01" + b"\0" * 15_000],
    ids=["data", "garbage", "nothing", "no header", "without end"],
)
def test_fragments_out_of_place_end_their_association_only(listener: DimseProcess, fragment: bytes) -> None:
    with associated(listener.port, cr_contexts(), calling="ROOM 1") as association:
        for _ in range(3):
            send_fragment(association, association.accepted_contexts[0].context_id or 1, fragment)
        wait_until(lambda: association.is_aborted, what="the end of the association")
    wait_well(listener)


def test_a_pdu_without_a_fragment_ends_its_association(listener: DimseProcess) -> None:
    with associated(listener.port, cr_contexts(), calling="ROOM 1") as association:
        association.dul.socket.socket.sendall(struct.pack(">BBL", 4, 0, 0))
        wait_until(lambda: association.is_aborted, what="the end of the association")
    wait_well(listener)


@pytest.mark.parametrize(
    ("sop_class", "without"),
    [(CR_STORAGE, "AffectedSOPInstanceUID"), (VERIFICATION, None), ("1.2.3", None)],
    ids=["no instance", "as an echo", "of an unknown class"],
)
def test_a_request_that_none_of_ours_answers_is_not_left_without_an_end(
    listener: DimseProcess, sop_class: str, without: str | None
) -> None:
    command = store_command(instance="1.2.3.4", sop_class=sop_class, without=without)
    with associated(listener.port, cr_contexts(), calling="ROOM 1") as association:
        send_fragment(association, 1, b"\x03" + command)
        send_data(association, 1, data_set_of(dicom_film(SOPInstanceUID="1.2.3.4")))
        wait_until(lambda: association.is_aborted, what="the end of the association")
    assert listener.files() == []
    wait_well(listener)


def test_mutated_commands_end_their_associations_at_most(listener: DimseProcess) -> None:
    chance, command = random.Random(0), store_command(instance="1.2.3.4")
    for _ in range(60):
        mutant = bytearray(command)
        for _ in range(chance.randint(1, 4)):
            mutant[chance.randrange(len(mutant))] = chance.randrange(256)
        with associated(listener.port, cr_contexts(), calling="ROOM 1") as association:
            send_fragment(association, 1, b"\x03" + bytes(mutant))
            send_fragment(association, 1, b"\x02" + bytes(chance.randbytes(100)))
            association.abort()
    wait_well(listener)
    assert len(listener.files()) == 2


@pytest.mark.parametrize(
    "beginning",
    [
        b"",
        b"\x01\0\0\0\x10\0half a request",
        b"\x01\0\xff\xff\xff\xff",
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x04\0\0\0\0\4abcd",
    ],
    ids=["silence", "half", "four gigabytes", "http", "data first"],
)
def test_who_never_associates_is_not_waited_for(impatient: DimseProcess, beginning: bytes) -> None:
    with socket.create_connection(("127.0.0.1", impatient.port), timeout=60) as connection:
        connection.sendall(beginning)
        with suppress(ConnectionResetError):
            while connection.recv(4096):
                pass
    wait_well(impatient)


@pytest.mark.parametrize("beginning", [b"", struct.pack(">BBL", 4, 0, 1000) + b"half"], ids=["nothing", "half a PDU"])
def test_an_association_that_stands_still_is_ended(impatient: DimseProcess, beginning: bytes) -> None:
    def is_ended() -> bool:
        with associated(impatient.port, cr_contexts(), calling="ROOM 1") as association:
            if not association.is_established:
                return False  # so impatient that a slow machine's association does not come about
            connection = association.dul.socket.socket
            if connection is None:
                return False  # ended already
            with suppress(OSError):
                connection.sendall(beginning)
            wait_until(lambda: association.is_aborted or not association.dul.is_alive(), what="the end")
        return True

    wait_until(is_ended, what="an association that is ended")
    wait_well(impatient)
