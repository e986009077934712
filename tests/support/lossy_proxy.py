"""A proxy before Redis that loses replies: the command is carried out, the client never hears of it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path


class LossyProxy:
    """``lose(n)``: of the next replies, ``n`` are swallowed and their connection closed.

    ``lose_every(n)`` goes on until ``lose_every(0)``: of the replies to commands, each n-th is lost. What redis-py says
    of itself when it connects is not counted, or one client alone might lose the reply to every command it repeats.
    """

    def __init__(self, server: Path, listening: Path) -> None:
        self._server = server
        self._to_lose = 0
        self._every = 0
        self._replies = 0
        self.lost = 0
        self.url = f"unix://{listening}"

    def lose(self, replies: int = 1) -> None:
        self._to_lose = replies

    def lose_every(self, nth: int) -> None:
        self._every = nth

    @property
    def all_lost(self) -> bool:
        return self._to_lose == 0

    async def serve(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        server, to_server = await asyncio.open_unix_connection(str(self._server))
        asked: list[bytes] = [b""]
        requests = asyncio.create_task(_pump(client, to_server, asked))
        try:
            while reply := await server.read(2**20):
                if self._is_lost(asked[0]):
                    self.lost += 1
                    break
                to_client.write(reply)
                await to_client.drain()
        except ConnectionError:
            pass  # the client went first
        finally:
            requests.cancel()
            to_client.close()
            to_server.close()

    def _is_lost(self, request: bytes) -> bool:
        if self._to_lose:
            self._to_lose -= 1
            return True
        if not self._every or b"\r\nCLIENT\r\n" in request[:64]:
            return False
        self._replies += 1
        return self._replies % self._every == 0


async def _pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter, asked: list[bytes]) -> None:
    """Pass requests on; ``asked[0]`` is the last one."""
    while data := await source.read(2**20):
        asked[0] = data
        sink.write(data)
        await sink.drain()
    sink.close()


@asynccontextmanager
async def lossy_proxy(server: Path, listening: Path) -> AsyncIterator[LossyProxy]:
    proxy = LossyProxy(server, listening)
    listener = await asyncio.start_unix_server(proxy.serve, str(listening))
    try:
        yield proxy
    finally:
        listener.close()


@contextmanager
def lossy_proxy_thread(server: Path, listening: Path) -> Iterator[LossyProxy]:
    """Run a proxy in a thread of its own, for tests whose clients are other processes."""
    started, ended = threading.Event(), asyncio.Event()
    found: list[tuple[LossyProxy, asyncio.AbstractEventLoop]] = []

    async def serve() -> None:
        async with lossy_proxy(server, listening) as proxy:
            found.append((proxy, asyncio.get_running_loop()))
            started.set()
            await ended.wait()

    thread = threading.Thread(target=asyncio.run, args=(serve(),), name="lossy proxy", daemon=True)
    thread.start()
    assert started.wait(10)
    proxy, loop = found[0]
    try:
        yield proxy
    finally:
        loop.call_soon_threadsafe(ended.set)
        thread.join(10)
