"""More senders than there are places, and connections that never become associations."""

import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from services.dicom.codes import Status
from tests.support.dimse import (
    OURS,
    SECONDS,
    VERIFICATION,
    DimseProcess,
    associated,
    begin_store,
    cr_contexts,
    listening,
    send,
    send_data,
)
from tests.support.films import IMPLICIT, dicom_film
from tests.support.gateway import wait_until
from tests.support.redis_server import RedisServer

LOCAL_LIMIT = (0x02, 0x03, 0x02)  # transient, presentation layer, local limit exceeded (PS3.8 table 9-21)
PLACES = 10
MANY = 24
MANY_ENDS = 60
POOL = 32  # threads that a process may begin for its own work meanwhile, and keep
ECHO = (VERIFICATION, [IMPLICIT])


@pytest.fixture(scope="module")
def listener(shared_redis_server: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DimseProcess]:
    with listening(tmp_path_factory.mktemp("crowds"), shared_redis_server, dimse_max_associations=PLACES) as process:
        process.wait_ready()
        yield process
        assert process.stop() == 0, process.output[-3000:]


@pytest.fixture(autouse=True)
def _empty(listener: DimseProcess, redis_server: RedisServer) -> None:
    listener.empty_spool()
    listener.wait_idle()


def test_as_many_associations_as_agreed_lose_nothing(listener: DimseProcess) -> None:
    films = [[dicom_film(seed=seed, rows=64, columns=64) for seed in range(10 * n, 10 * n + 5)] for n in range(PLACES)]
    with ThreadPoolExecutor(PLACES) as senders:
        answers = senders.map(lambda batch: send(listener.port, *batch), films)
        statuses = [answer.Status for batch in answers for answer in batch]
    assert statuses == [Status.SUCCESS] * 5 * PLACES
    assert len(listener.files()) == 10 * PLACES


def test_an_association_more_than_agreed_is_rejected_for_now(listener: DimseProcess) -> None:
    with ExitStack() as stack:
        for _ in range(PLACES):
            held = stack.enter_context(associated(listener.port, ECHO))
            assert held.is_established
        with associated(listener.port, ECHO) as one_more:
            assert one_more.is_rejected
            answer = one_more.acceptor.primitive
            assert (answer.result, answer.result_source, answer.diagnostic) == LOCAL_LIMIT
        assert held.send_c_echo().Status == Status.SUCCESS


def test_of_many_that_ask_at_once_as_many_as_agreed_are_let_in(listener: DimseProcess) -> None:
    together = threading.Barrier(MANY)

    def ask(_: int) -> bool:
        together.wait(SECONDS)
        with associated(listener.port, ECHO) as association:
            together.wait(SECONDS)  # nobody leaves before everybody has an answer
            assert association.is_established or association.is_rejected
            return bool(association.is_established)

    with ThreadPoolExecutor(MANY) as senders:
        assert sum(senders.map(ask, range(MANY))) == PLACES


def test_a_port_scan_keeps_no_sender_out(redis_server: RedisServer, tmp_path: Path) -> None:
    """Each connection has a thread or two, and there are fewer of them than connections here."""
    with listening(tmp_path, redis_server, dimse_network_seconds=600, dimse_max_associations=1) as process:
        process.wait_ready()
        for _ in range(150):
            socket.create_connection(("127.0.0.1", process.port), timeout=60).close()
        wait_until(lambda: _is_taken(process.port), what="a film that is taken")


@pytest.mark.parametrize("end", ["release", "abort", "lost in a film", "rejected"])
def test_of_associations_that_have_ended_neither_thread_nor_connection_stays(listener: DimseProcess, end: str) -> None:
    before = threads_of(listener)
    for _ in range(MANY_ENDS):
        with associated(listener.port, cr_contexts(), called="OTHER" if end == "rejected" else OURS) as association:
            if end == "lost in a film":
                send_data(association, begin_store(association, instance="1.2.3.4"), b"x" * 1000, is_whole=False)
                association.dul.socket.socket.shutdown(socket.SHUT_RDWR)
            if end in ("abort", "lost in a film"):
                association.abort()
    wait_until(lambda: connections_at(listener.port) == 0, what="no connection")
    wait_until(lambda: threads_of(listener) <= before + POOL, what="no thread")


def threads_of(process: DimseProcess) -> int:
    status = Path(f"/proc/{process.process.pid}/status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith("Threads:"))
    return int(line.split()[1])


def connections_at(port: int) -> int:
    """Return how many connections that were accepted at a port of IPv4 its process has not closed (proc(5))."""
    established, close_wait = "01", "08"
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(int(line[1].split(":")[1], 16) == port and line[3] in (established, close_wait) for line in lines)


def _is_taken(port: int) -> bool:
    try:
        (answer,) = send(port, dicom_film())
    except (AssertionError, RuntimeError):
        return False
    return "Status" in answer and answer.Status == Status.SUCCESS
