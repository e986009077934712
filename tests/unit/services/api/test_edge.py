"""One connection of the gateway's HTTP server, with limits that a test can wait for."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from starlette.types import Receive, Scope, Send
from uvicorn.config import Config
from uvicorn.server import ServerState

from services.api.edge import edge_protocol
from services.api.heads import EdgeLimits
from services.api.metrics import GatewayMetrics
from tests.support.outcomes import eventually

GET = b"GET / HTTP/1.1\r\nHost: gateway\r\n\r\n"
LARGE_BYTES = 32 * 1024**2  # more than the kernel's buffers take
SECONDS = 30.0


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with more than any buffer holds, in parts."""
    length = str(LARGE_BYTES).encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", length)]})
    for sent in range(0, LARGE_BYTES, 1024**2):
        is_last = sent + 1024**2 == LARGE_BYTES
        await send({"type": "http.response.body", "body": bytes(1024**2), "more_body": not is_last})


class Edge:
    """A served port."""

    def __init__(self, state: ServerState, metrics: GatewayMetrics, address: tuple[str, int]) -> None:
        self.state = state
        self.address = address
        self._metrics = metrics

    def counted(self, line: str) -> bool:
        return line in self._metrics.exposition(None).decode()


@asynccontextmanager
async def served(limits: EdgeLimits, *, in_one_piece: bool = False) -> AsyncIterator[Edge]:
    async def whole(scope: Scope, receive: Receive, send: Send) -> None:
        length = str(LARGE_BYTES).encode()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", length)]})
        await send({"type": "http.response.body", "body": bytes(LARGE_BYTES)})

    metrics = GatewayMetrics()
    protocol = edge_protocol(limits, metrics)
    config = Config(whole if in_one_piece else application, http=protocol, log_config=None, lifespan="off")
    config.load()
    state = ServerState()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: protocol(config=config, server_state=state, app_state={}),
        "127.0.0.1",
        0,  # type: ignore[call-arg]
    )
    async with server:
        yield Edge(state, metrics, server.sockets[0].getsockname())


async def until_no_connection_is_left(edge: Edge) -> None:
    await eventually(lambda: not edge.state.connections and not edge.state.tasks)


@pytest.mark.parametrize("in_one_piece", [True, False])
async def test_client_that_never_reads_its_answer_holds_neither_memory_nor_a_place(in_one_piece: bool) -> None:
    limits = EdgeLimits(header_seconds=SECONDS, write_seconds=0.2)
    async with served(limits, in_one_piece=in_one_piece) as edge:
        with socket.create_connection(edge.address) as connection:
            connection.sendall(GET)
            await eventually(lambda: edge.counted("cxr_connections_cut_total 1.0"))
            await until_no_connection_is_left(edge)


async def test_client_that_reads_slowly_but_reads_is_served() -> None:
    async with served(EdgeLimits(header_seconds=SECONDS, write_seconds=SECONDS)) as edge:
        reader, writer = await asyncio.open_connection(*edge.address, limit=4096)
        writer.write(GET)
        received = 0
        while received < LARGE_BYTES:
            received += len(await reader.read(256 * 1024))
            await asyncio.sleep(0)
        assert edge.counted("cxr_connections_cut_total 0.0")
        writer.close()
        await writer.wait_closed()
        await until_no_connection_is_left(edge)


async def test_connection_beyond_the_limit_is_told_to_come_back_and_the_others_stay() -> None:
    async with served(EdgeLimits(header_seconds=SECONDS, connections=2)) as edge:
        held = [await asyncio.open_connection(*edge.address) for _ in range(2)]
        await eventually(lambda: len(edge.state.connections) == len(held))
        reader, writer = await asyncio.open_connection(*edge.address)
        answer = await reader.read()
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b"connections_busy" in answer
        assert b"retry-after: " in answer
        writer.close()
        held[0][1].write(GET)
        assert (await held[0][0].readline()).startswith(b"HTTP/1.1 200 ")
        for _, other in held:
            other.close()
        await until_no_connection_is_left(edge)


async def test_refused_sender_that_goes_on_is_disconnected() -> None:
    async with served(EdgeLimits(header_seconds=SECONDS)) as edge:
        reader, writer = await asyncio.open_connection(*edge.address)
        writer.write(b"nonsense\r\n\r\n")
        assert (await reader.readline()).startswith(b"HTTP/1.1 400 ")
        with pytest.raises((ConnectionResetError, BrokenPipeError)):
            await send_on(writer)
        await until_no_connection_is_left(edge)


async def send_on(writer: asyncio.StreamWriter) -> None:
    async with asyncio.timeout(SECONDS):
        while True:
            writer.write(bytes(1024))
            await writer.drain()
            await asyncio.sleep(0.01)


async def test_headers_do_not_count_as_late_while_the_answer_is_on_its_way() -> None:
    """The answer takes longer to read than headers may take to come."""
    async with served(EdgeLimits(header_seconds=0.3)) as edge:
        connection = socket.create_connection(edge.address)
        connection.sendall(GET)  # before the loop turns, so that the headers are there when their clock starts
        reader, writer = await asyncio.open_connection(sock=connection, limit=4096)
        await asyncio.sleep(0.6)  # what is tested is that nothing happens meanwhile
        received = b""
        while len(received) < LARGE_BYTES:
            received += await reader.read(1024**2)
        assert received.startswith(b"HTTP/1.1 200 ")
        writer.close()
        await writer.wait_closed()
