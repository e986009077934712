"""An upload on its way into the spool: bounded in number, size and time, hashed while it streams.

Knows HTTP and the spool; does not know what a film is: who reads its header is handed in. Hashing and files are the
business of threads, a mebibyte at a time, so that slow disks and large films block no other request.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from fastapi import Request
from starlette.requests import ClientDisconnect

from model.decoding.header import ImageFormat
from services.api.content_digest import expected_sha256
from services.api.errors import (
    DigestMismatch,
    EmptyPayload,
    PayloadTooLarge,
    UnsupportedEncoding,
    UnsupportedMediaType,
    UploadAborted,
    UploadsBusy,
    UploadTimeout,
)
from services.api.multipart import OVERHEAD_BYTES, SingleFileBody
from services.jobs.disk import Buffer
from services.jobs.records import Job
from services.jobs.settings import ApiSettings
from services.jobs.spool import Spool
from services.jobs.upload import Upload

MULTIPART: Final = "multipart/form-data"
ANY_FORMAT: Final = "application/octet-stream"
MEDIA_TYPES: Final = (*(image_format.value for image_format in ImageFormat), ANY_FORMAT, MULTIPART)

_WRITE_BYTES: Final = 1024 * 1024
# Pieces below this are joined as they come: a sender of single bytes must not make a mebibyte of them cost forty.
_CRUMB_BYTES: Final = 16 * 1024
# Up to this a body stays in memory until there is room for it; none of it is written before.
SMALL_BYTES: Final = _WRITE_BYTES
# Slower than this on average, once the idle limit has passed, is an attack or a dead line (RELIABILITY.md §4).
_SLOWEST_BYTES_PER_SECOND: Final = 64 * 1024
_HTTP_DEFAULT_TYPES: Final = ("", ANY_FORMAT)


# What makes a job of a whole payload and the format that its sender declared, if one; called in a thread.
JobReader = Callable[[Upload, ImageFormat | None], Job]


@dataclass(frozen=True, kw_only=True)
class ReceivedPayload:
    """A whole payload, not yet kept, and the job that it makes."""

    upload: Upload
    job: Job


class Uploads:
    """Receives payloads, so many at once and no more."""

    def __init__(self, spool: Spool, settings: ApiSettings) -> None:
        self._spool = spool
        self._settings = settings
        self.in_flight = 0

    @asynccontextmanager
    async def receive(self, request: Request, read_job: JobReader) -> AsyncIterator[ReceivedPayload]:
        """Stream the request's body into an upload; what is not kept inside the context is removed after it.

        Raises
        ------
        UploadsBusy
            Before a byte is read.
        UnsupportedMediaType, UnsupportedEncoding, PayloadTooLarge, MalformedDigest, MalformedMultipart
            From the headers, before a byte is read, or while streaming.
        SpoolFull, SpoolUnavailable
            At the first write, of a mebibyte at most, or at a later one.
        UploadTimeout, UploadAborted
            While streaming.
        EmptyPayload, DigestMismatch, and what ``read_job`` raises
            After the last byte.
        """
        body = _Body(request, self._settings.max_payload_bytes)
        if self.in_flight >= self._settings.max_uploads:
            raise UploadsBusy("Too many uploads are in flight. Repeat the request after Retry-After seconds.")
        self.in_flight += 1
        arriving = _Arriving(self._spool)
        try:
            await self._fill(arriving, body, request)
            # The whole of a small film is hashed and read here, in one thread: every hop into one costs more than that.
            yield await asyncio.to_thread(_close, arriving, body, read_job)
        finally:
            arriving.discard()
            self.in_flight -= 1

    async def _fill(self, arriving: _Arriving, body: _Body, request: Request) -> None:
        async for chunk in self._chunks(request):
            arriving.add(body.payload_of(chunk))
            if arriving.size_bytes > self._settings.max_payload_bytes:
                raise _too_large(self._settings.max_payload_bytes)
            if arriving.unwritten_bytes >= _WRITE_BYTES:
                await asyncio.to_thread(arriving.write)
        body.check_whole()
        if arriving.size_bytes == 0:
            raise EmptyPayload("The body is empty. Send the film's bytes as the body.")

    async def _chunks(self, request: Request) -> AsyncIterator[bytes]:
        clock, limits = asyncio.get_running_loop().time, self._settings
        started, waited_seconds, received = clock(), 0.0, 0
        stream = request.stream()
        while True:
            asked = clock()
            # What the sender may still take: it is not charged for the time that our disk takes.
            slowest_seconds = max(limits.upload_idle_seconds, received / _SLOWEST_BYTES_PER_SECOND)
            left = min(slowest_seconds - waited_seconds, limits.upload_total_seconds - (asked - started))
            try:
                async with asyncio.timeout(min(limits.upload_idle_seconds, left)):
                    chunk = await anext(stream, None)
            except TimeoutError as error:
                raise UploadTimeout(
                    "The upload was too slow and was cut off; nothing was kept. Send it again."
                ) from error
            except ClientDisconnect as error:
                raise UploadAborted("The connection ended before the payload was whole.") from error
            if chunk is None:
                return
            received += len(chunk)
            waited_seconds += clock() - asked
            yield chunk


def _close(arriving: _Arriving, body: _Body, read_job: JobReader) -> ReceivedPayload:
    upload = arriving.write()
    return ReceivedPayload(upload=upload, job=read_job(upload, body.close(upload)))


class _Arriving:
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
        """Remove what was not kept."""
        if self._upload is not None:
            self._upload.discard()


class _Body:
    """What the request's headers say of its body, checked before a byte is read, and again against the bytes."""

    def __init__(self, request: Request, max_payload_bytes: int) -> None:
        content_type = request.headers.get("content-type", "")
        self._media_type = _media_type(content_type)
        if self._media_type not in (*MEDIA_TYPES, ""):
            raise _unsupported()
        if request.headers.get("content-encoding", "identity").strip().lower() != "identity":
            raise UnsupportedEncoding("Send the film uncompressed, without Content-Encoding.")
        digests = request.headers.getlist("content-digest")
        self._expected_sha256 = expected_sha256(", ".join(digests) if digests else None)
        self._multipart = SingleFileBody(content_type) if self._media_type == MULTIPART else None
        overhead = OVERHEAD_BYTES if self._multipart else 0
        if int(request.headers.get("content-length", "0")) > max_payload_bytes + overhead:
            raise _too_large(max_payload_bytes)
        self._left_bytes = max_payload_bytes + overhead
        self._max_payload_bytes = max_payload_bytes
        # Content-Digest covers the content as sent (RFC 9530 §2): of a multipart body, that is all of it.
        self._content_hash = hashlib.sha256() if self._multipart and self._expected_sha256 else None

    def payload_of(self, chunk: bytes) -> Sequence[Buffer]:
        """Return the parts of the body's next chunk that are payload."""
        self._left_bytes -= len(chunk)
        if self._left_bytes < 0:
            raise _too_large(self._max_payload_bytes)
        if self._content_hash is not None:
            self._content_hash.update(chunk)
        return (chunk,) if self._multipart is None else self._multipart.feed(chunk)

    def check_whole(self) -> None:
        """Raise ``MalformedMultipart`` where the body ended too early."""
        if self._multipart is not None:
            self._multipart.close()

    def close(self, upload: Upload) -> ImageFormat | None:
        """Check the whole body; return the format that its sender declared, if one."""
        declared = self._media_type
        if self._multipart is not None:
            declared = _media_type(self._multipart.part_content_type)
            if declared not in (*ImageFormat, *_HTTP_DEFAULT_TYPES):
                raise _unsupported()
        actual = self._content_hash.hexdigest() if self._content_hash is not None else upload.sha256()
        if self._expected_sha256 not in (None, actual):
            raise DigestMismatch("The bytes that arrived do not have the sha-256 of Content-Digest. Send them again.")
        return None if declared in _HTTP_DEFAULT_TYPES else ImageFormat(declared)


def _media_type(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()


def _too_large(max_payload_bytes: int) -> PayloadTooLarge:
    return PayloadTooLarge(f"A film may have {max_payload_bytes} bytes. Nothing was kept; do not send it again.")


def _unsupported() -> UnsupportedMediaType:
    return UnsupportedMediaType(
        f"Send one of {', '.join(MEDIA_TYPES)}; {ANY_FORMAT} lets the service find out which film it is."
    )
