"""HTTP by hand: whatever bytes a test wants to send, and the answers read as they come."""

from __future__ import annotations

import contextlib
import json
import socket
from dataclasses import dataclass

from tests.support.gateway import GatewayProcess

_SECONDS = 30.0


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One response."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def problem_code(self) -> str | None:
        if self.headers.get("content-type") != "application/problem+json":
            return None
        return str(json.loads(self.body)["code"])


def connect(gateway: GatewayProcess) -> socket.socket:
    return socket.create_connection(("127.0.0.1", gateway.port), timeout=_SECONDS)


def exchange(gateway: GatewayProcess, *parts: bytes, stop_after: int | None = None) -> list[Answer]:
    """Send the parts as far as they are taken; return all answers until the connection ends, or that many."""
    with connect(gateway) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # The gateway may end the connection while we still send; what it answered is read all the same.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            for part in parts:
                connection.sendall(part)
        return read_answers(connection, stop_after=stop_after)


def read_answers(connection: socket.socket, *, stop_after: int | None = None) -> list[Answer]:
    """Return answers with a Content-Length, which all of ours have; ``100 Continue`` is one of its own."""
    answers: list[Answer] = []
    with connection.makefile("rb") as stream:
        while stop_after is None or len(answers) < stop_after:
            try:
                line = stream.readline()
            except ConnectionResetError:
                break
            if not line:
                break
            answers.append(_answer(line, stream))  # type: ignore[arg-type]  # makefile's type says text or bytes
    return answers


def _answer(line: bytes, stream: socket.SocketIO) -> Answer:
    status = int(line.split()[1])
    headers: dict[str, str] = {}
    while (header := stream.readline().strip()) != b"":
        name, _, value = header.decode("latin-1").partition(":")
        headers[name.lower()] = value.strip()
    body = stream.read(int(headers.get("content-length", "0"))) or b""
    return Answer(status=status, headers=headers, body=body)
