"""An upload on its way into the spool: bounded in number, size and time, hashed while it streams.

Knows HTTP and the spool; does not know what a film is. File work happens in threads, a mebibyte at a time, so that
slow disks and large films block no other request.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
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
from services.jobs.settings import ApiSettings
from services.jobs.spool import Spool
from services.jobs.upload import Upload

MULTIPART: Final = "multipart/form-data"
ANY_FORMAT: Final = "application/octet-stream"
MEDIA_TYPES: Final = (*(image_format.value for image_format in ImageFormat), ANY_FORMAT, MULTIPART)

_WRITE_BYTES: Final = 1024 * 1024
# Slower than this on average, once the idle limit has passed, is an attack or a dead line (RELIABILITY.md §4).
_SLOWEST_BYTES_PER_SECOND: Final = 64 * 1024
_HTTP_DEFAULT_TYPES: Final = ("", ANY_FORMAT)


@dataclass(frozen=True, kw_only=True)
class ReceivedPayload:
    """A whole payload in the spool, not yet kept. ``declared`` is what the caller says it is, if anything."""

    upload: Upload
    declared: ImageFormat | None


class Uploads:
    """Receives payloads, so many at once and no more."""

    def __init__(self, spool: Spool, settings: ApiSettings) -> None:
        self._spool = spool
        self._settings = settings
        self.in_flight = 0

    @asynccontextmanager
    async def receive(self, request: Request) -> AsyncIterator[ReceivedPayload]:
        """Stream the request's body into the spool; what is not kept inside the context is removed after it.

        Raises
        ------
        UploadsBusy, SpoolFull, SpoolUnavailable
            Before a byte is read.
        UnsupportedMediaType, UnsupportedEncoding, PayloadTooLarge, MalformedDigest, MalformedMultipart
            From the headers, before a byte is read, or while streaming.
        UploadTimeout, UploadAborted
            While streaming.
        EmptyPayload, DigestMismatch
            After the last byte.
        """
        body = _Body(request, self._settings.max_payload_bytes)
        if self.in_flight >= self._settings.max_uploads:
            raise UploadsBusy("Too many uploads are in flight. Repeat the request after Retry-After seconds.")
        self.in_flight += 1
        try:
            upload = await asyncio.to_thread(self._spool.begin)
            try:
                yield await self._fill(upload, body, request)
            finally:
                upload.discard()
        finally:
            self.in_flight -= 1

    async def _fill(self, upload: Upload, body: _Body, request: Request) -> ReceivedPayload:
        gathered = bytearray()
        async for chunk in self._chunks(request):
            gathered += body.payload_of(chunk)
            if upload.size_bytes + len(gathered) > self._settings.max_payload_bytes:
                raise _too_large(self._settings.max_payload_bytes)
            if len(gathered) >= _WRITE_BYTES:
                await asyncio.to_thread(upload.write, bytes(gathered))
                gathered.clear()
        if gathered:
            await asyncio.to_thread(upload.write, bytes(gathered))
        declared = body.close(upload)
        return ReceivedPayload(upload=upload, declared=declared)

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

    def payload_of(self, chunk: bytes) -> bytes:
        """Return the part of the body's next chunk that is payload."""
        self._left_bytes -= len(chunk)
        if self._left_bytes < 0:
            raise _too_large(self._max_payload_bytes)
        if self._content_hash is not None:
            self._content_hash.update(chunk)
        return chunk if self._multipart is None else self._multipart.feed(chunk)

    def close(self, upload: Upload) -> ImageFormat | None:
        """Check the finished body; return the format that its sender declared, if one."""
        declared = self._media_type
        if self._multipart is not None:
            self._multipart.close()
            declared = _media_type(self._multipart.part_content_type)
            if declared not in (*ImageFormat, *_HTTP_DEFAULT_TYPES):
                raise _unsupported()
        if upload.size_bytes == 0:
            raise EmptyPayload("The body is empty. Send the film's bytes as the body.")
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
