"""A proxy before Redis that loses replies: the command is carried out, the client never hears of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path


class LossyProxy:
    """``lose(n)``: of the next replies, ``n`` are swallowed and their connection closed."""

    def __init__(self, server: Path, listening: Path) -> None:
        self._server = server
        self._to_lose = 0
        self.url = f"unix://{listening}"

    def lose(self, replies: int = 1) -> None:
        self._to_lose = replies

    @property
    def all_lost(self) -> bool:
        return self._to_lose == 0

    async def serve(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        server, to_server = await asyncio.open_unix_connection(str(self._server))
        requests = asyncio.create_task(_pump(client, to_server))
        try:
            while reply := await server.read(2**20):
                if self._to_lose:
                    self._to_lose -= 1
                    break
                to_client.write(reply)
                await to_client.drain()
        finally:
            requests.cancel()
            to_client.close()
            to_server.close()


async def _pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    while data := await source.read(2**20):
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
