"""What this machine asks for a film's bytes before any code of ours: to receive, to digest and to write them, alone.

Every gateway that acknowledges a film only when it is on the disk pays at least this. Own processor time, medians; the
files stay until the end, because a spool keeps its own too: pages that were just freed cost less than fresh ones.
"""

from __future__ import annotations

import hashlib
import os
import socket
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

# Where libuv stops a read, and as much as a spool writes at once (or more, which costs no more).
_RECEIVED_AT_ONCE: Final = 256 * 1024
_BYTES_IN_ALL: Final = 300_000_000
_MOST_FILMS: Final = 100


@dataclass(frozen=True, kw_only=True)
class Floor:
    """Milliseconds of processor time for the bytes of one film."""

    receive_ms: float
    sha256_ms: float
    write_ms: float

    @property
    def total_ms(self) -> float:
        """All three, one after the other."""
        return self.receive_ms + self.sha256_ms + self.write_ms


def measure_floor(payload: bytes, directory: Path) -> Floor:
    """Measure a film's bytes, written to new files below ``directory`` with one fsync each."""
    films = max(3, min(_MOST_FILMS, _BYTES_IN_ALL // len(payload)))
    with tempfile.TemporaryDirectory(prefix="floor-", dir=directory) as folder:
        names = iter([Path(folder) / str(number) for number in range(films + 1)])
        write_ms = _median_ms(lambda: _write(next(names), payload), films)
    return Floor(
        receive_ms=_receive_ms(payload, films),
        sha256_ms=_median_ms(lambda: hashlib.sha256(payload).digest(), films),
        write_ms=write_ms,
    )


def _median_ms(call: Callable[[], object], times: int) -> float:
    call()
    spent = []
    for _ in range(times):
        started = time.thread_time_ns()
        call()
        spent.append((time.thread_time_ns() - started) / 1e6)
    return statistics.median(spent)


def _write(path: Path, payload: bytes) -> None:
    with path.open("xb", buffering=0) as file:
        rest = memoryview(payload)
        while rest:
            rest = rest[file.write(rest) :]
        os.fsync(file.fileno())


def _receive_ms(payload: bytes, films: int) -> float:
    """Return what the receiving side of a connection over loopback spends, in one thread; the sender is another."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        sender = threading.Thread(target=_send, args=(listener.getsockname(), payload, films + 1))
        sender.start()
        connection, _ = listener.accept()
        buffer = bytearray(_RECEIVED_AT_ONCE)

        def receive() -> None:
            left = len(payload)
            while left:
                received = connection.recv_into(buffer, min(left, len(buffer)))
                if not received:
                    raise ConnectionError("the sender hung up")
                left -= received

        try:
            return _median_ms(receive, films)
        finally:
            connection.close()
            sender.join()


def _send(address: tuple[str, int], payload: bytes, times: int) -> None:
    with socket.create_connection(address) as connection:
        for _ in range(times):
            connection.sendall(payload)
