"""A body on its way from a connection into the spool: how long its sender may take, and what is in memory meanwhile.

Knows no format. Files are the business of threads: ``write`` blocks, nothing else does.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from typing import Final

from fastapi import Request
from starlette.requests import ClientDisconnect

from services.api.errors import UploadAborted, UploadTimeout
from services.jobs.disk import Buffer
from services.jobs.settings import ApiSettings
from services.jobs.spool import Spool
from services.jobs.upload import Upload

WRITE_BYTES: Final = 1024 * 1024
# Pieces below this are joined as they come: a sender of single bytes must not make a mebibyte of them cost forty.
_CRUMB_BYTES: Final = 16 * 1024
# Slower than this on average, once the idle limit has passed, is an attack or a dead line (RELIABILITY.md §4).
_SLOWEST_BYTES_PER_SECOND: Final = 64 * 1024


class Sender:
    """Who sends a body: waited for as long as the settings allow, and no longer."""

    def __init__(self, request: Request, settings: ApiSettings) -> None:
        self._stream = request.stream()
        self._settings = settings
        self._clock = asyncio.get_running_loop().time
        self._started = self._clock()

    def begin_film(self) -> None:
        """Let the total time begin anew: each film of a body of many has as much as one that comes alone."""
        self._started = self._clock()

    async def chunks(self) -> AsyncGenerator[bytes]:
        """Yield the body.

        Raises
        ------
        UploadTimeout
            If nothing comes for too long, or all of it takes too long.
        UploadAborted
            If the connection ends before the body does.
        """
        limits, waited_seconds, received = self._settings, 0.0, 0
        while True:
            asked = self._clock()
            # What the sender may still take: it is not charged for the time that our disk takes.
            slowest_seconds = max(limits.upload_idle_seconds, received / _SLOWEST_BYTES_PER_SECOND)
            left = min(slowest_seconds - waited_seconds, limits.upload_total_seconds - (asked - self._started))
            try:
                async with asyncio.timeout(min(limits.upload_idle_seconds, left)):
                    chunk = await anext(self._stream, None)
            except TimeoutError as error:
                raise UploadTimeout(
                    "The upload was too slow and was cut off; what was not whole is not kept. Send it again."
                ) from error
            except ClientDisconnect as error:
                raise UploadAborted("The connection ended before the payload was whole.") from error
            if chunk is None:
                return
            received += len(chunk)
            waited_seconds += self._clock() - asked
            yield chunk


class Arriving:
    """A payload between connection and spool: pieces that were not written yet, and the upload, once it has begun."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self._upload: Upload | None = None
        self._pieces: list[Buffer] = []
        self.size_bytes = self.unwritten_bytes = 0

    def add(self, pieces: Sequence[Buffer]) -> None:
        """Take what came next."""
        for piece in pieces:
            self.size_bytes += len(piece)
            self.unwritten_bytes += len(piece)
            last = self._pieces[-1] if self._pieces else None
            if len(piece) >= _CRUMB_BYTES:
                self._pieces.append(piece)
            elif isinstance(last, bytearray):
                last += piece
            else:
                self._pieces.append(bytearray(piece))

    def write(self) -> Upload:
        """Write what came since the last time, and return the upload; blocks.

        It begins here, with the first bytes: a thread of its own would cost a small film more than its writing.
        """
        if self._upload is None:
            self._upload = self._spool.begin()
        self._upload.write(*self._pieces)
        self._pieces = []
        self.unwritten_bytes = 0
        return self._upload

    def discard(self) -> None:
        """Remove what was not kept, from memory too; harmless when repeated."""
        self._pieces = []
        if self._upload is not None:
            self._upload.discard()
