"""An upload on its way into the spool: bounded in number, size and time, hashed while it streams.

Knows HTTP and the spool; does not know what a film is: who reads its header is handed in. Hashing and files are the
business of threads, a mebibyte at a time, so that slow disks and large films block no other request.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import aclosing, asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Final

from fastapi import Request

from model.decoding.header import ImageFormat
from services.api.arriving import WRITE_BYTES, Arriving, Sender
from services.api.content_digest import expected_sha256
from services.api.errors import (
    DigestMismatch,
    EmptyPayload,
    PayloadTooLarge,
    UnsupportedEncoding,
    UnsupportedMediaType,
    UploadsBusy,
)
from services.api.multipart import OVERHEAD_BYTES, SingleFileBody
from services.api.parts import ReceivedPart, receive_parts
from services.api.related import media_type_of, store_body
from services.jobs.disk import Buffer
from services.jobs.records import Job
from services.jobs.settings import ApiSettings
from services.jobs.spool import Spool
from services.jobs.upload import Upload

MULTIPART: Final = "multipart/form-data"
ANY_FORMAT: Final = "application/octet-stream"
MEDIA_TYPES: Final = (*(image_format.value for image_format in ImageFormat), ANY_FORMAT, MULTIPART)

# Up to this a body stays in memory until there is room for it; none of it is written before.
SMALL_BYTES: Final = WRITE_BYTES
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
        arriving = Arriving(self._spool)
        with self._counted():
            try:
                await self._fill(arriving, body, request)
                # The whole of a small film is hashed and read here, in one thread: a hop into one costs more than that.
                yield await asyncio.to_thread(_close, arriving, body, read_job)
            finally:
                arriving.discard()

    @asynccontextmanager
    async def receive_each(self, request: Request) -> AsyncIterator[AsyncIterator[ReceivedPart]]:
        """Stream each part of the request's body into an upload of its own, one after the other.

        The context holds the parts, each while it is looked at; what is not kept until the next one is asked for is
        removed. As an upload the request counts as one.

        Raises
        ------
        UploadsBusy, UnsupportedMediaType, UnsupportedEncoding, MalformedMultipart, PayloadTooLarge
            Before a byte is read.
        What ``receive_parts`` raises
            From the iterator.
        """
        body = store_body(request.headers.get("content-type", ""), most_parts=self._settings.max_store_instances)
        _check_encoding(request)
        most_bytes = max(self._settings.max_store_bytes, self._settings.max_payload_bytes + OVERHEAD_BYTES)
        if int(request.headers.get("content-length", "0")) > most_bytes:
            raise PayloadTooLarge(f"A request may have {most_bytes} bytes. Nothing was kept; send fewer instances.")
        with self._counted():
            sender = Sender(request, self._settings)
            parts = receive_parts(sender, body, self._spool, self._settings, most_bytes=most_bytes)
            async with aclosing(parts):
                yield parts

    @contextmanager
    def _counted(self) -> Iterator[None]:
        if self.in_flight >= self._settings.max_uploads:
            raise UploadsBusy("Too many uploads are in flight. Repeat the request after Retry-After seconds.")
        self.in_flight += 1
        try:
            yield
        finally:
            self.in_flight -= 1

    async def _fill(self, arriving: Arriving, body: _Body, request: Request) -> None:
        async for chunk in Sender(request, self._settings).chunks():
            arriving.add(body.payload_of(chunk))
            if arriving.size_bytes > self._settings.max_payload_bytes:
                raise _too_large(self._settings.max_payload_bytes)
            if arriving.unwritten_bytes >= WRITE_BYTES:
                await asyncio.to_thread(arriving.write)
        body.check_whole()
        if arriving.size_bytes == 0:
            raise EmptyPayload("The body is empty. Send the film's bytes as the body.")


def _close(arriving: Arriving, body: _Body, read_job: JobReader) -> ReceivedPayload:
    upload = arriving.write()
    return ReceivedPayload(upload=upload, job=read_job(upload, body.close(upload)))


class _Body:
    """What the request's headers say of its body, checked before a byte is read, and again against the bytes."""

    def __init__(self, request: Request, max_payload_bytes: int) -> None:
        content_type = request.headers.get("content-type", "")
        self._media_type = media_type_of(content_type)
        if self._media_type not in (*MEDIA_TYPES, ""):
            raise _unsupported()
        _check_encoding(request)
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
            declared = media_type_of(self._multipart.part_content_type)
            if declared not in (*ImageFormat, *_HTTP_DEFAULT_TYPES):
                raise _unsupported()
        actual = self._content_hash.hexdigest() if self._content_hash is not None else upload.sha256()
        if self._expected_sha256 not in (None, actual):
            raise DigestMismatch("The bytes that arrived do not have the sha-256 of Content-Digest. Send them again.")
        return None if declared in _HTTP_DEFAULT_TYPES else ImageFormat(declared)


def _check_encoding(request: Request) -> None:
    if request.headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise UnsupportedEncoding("Send the film uncompressed, without Content-Encoding.")


def _too_large(max_payload_bytes: int) -> PayloadTooLarge:
    return PayloadTooLarge(f"A film may have {max_payload_bytes} bytes. Nothing was kept; do not send it again.")


def _unsupported() -> UnsupportedMediaType:
    return UnsupportedMediaType(
        f"Send one of {', '.join(MEDIA_TYPES)}; {ANY_FORMAT} lets the service find out which film it is."
    )
