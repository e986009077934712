"""The parts of a STOW-RS request on their way into the spool: each an upload of its own, bounded by itself.

One part's fault (too large, unreadable, no room) fails that part, and the rest is read on. Knows HTTP's body and the
spool; what is done with an instance is its caller's business.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final

from model.decoding.header import Header, ImageFormat
from model.decoding.inspect import inspect_header
from model.errors import ImageError, Reason, UnsupportedFormat
from services.api.arriving import WRITE_BYTES, Arriving, Sender
from services.api.errors import ApiError, PayloadTooLarge, UnsupportedMediaType
from services.api.related import DICOM, Event, PartBegins, StoreBody, media_type_of
from services.jobs.errors import JobsError
from services.jobs.settings import ApiSettings
from services.jobs.spool import Spool
from services.jobs.upload import Upload

# What a part may declare itself as: DICOM, or nothing.
_PART_TYPES: Final = (DICOM, "application/octet-stream", "")


@dataclass(frozen=True, kw_only=True)
class WholePart:
    """A part that is DICOM and arrived whole; not kept yet."""

    upload: Upload
    header: Header


@dataclass(frozen=True, kw_only=True)
class FailedPart:
    """A part of which nothing is left, and why."""

    error: ApiError | JobsError | ImageError


ReceivedPart = WholePart | FailedPart


async def receive_parts(
    sender: Sender, body: StoreBody, spool: Spool, settings: ApiSettings, *, most_bytes: int
) -> AsyncGenerator[ReceivedPart]:
    """Yield each part of a body when it is whole; what of it was not kept by the time of the next one is removed.

    Raises
    ------
    MalformedMultipart, NoInstances, TooManyParts
        As the body does; the parts before were yielded.
    PayloadTooLarge
        If the whole body is longer than ``most_bytes``.
    UploadTimeout, UploadAborted
        As the sender does.
    """
    part: _ArrivingPart | None = None
    try:
        async with aclosing(_events(sender, body, most_bytes)) as events:
            async for event in events:
                if isinstance(event, PartBegins):
                    sender.begin_film()
                    part = _ArrivingPart(event.content_type, spool, settings.max_payload_bytes)
                    continue
                assert part is not None, "bytes and ends come after a beginning"
                if isinstance(event, memoryview):
                    await part.add(event)
                else:
                    yield await part.end()
                    part.discard()
    finally:
        if part is not None:
            part.discard()


async def _events(sender: Sender, body: StoreBody, most_bytes: int) -> AsyncGenerator[Event]:
    left_bytes = most_bytes
    async with aclosing(sender.chunks()) as chunks:
        async for chunk in chunks:
            left_bytes -= len(chunk)
            if left_bytes < 0:
                raise PayloadTooLarge(f"A request may have {most_bytes} bytes. Send fewer instances in one.")
            for event in body.feed(chunk):
                yield event
    for event in body.close():
        yield event


class _ArrivingPart:
    """One part, between its headers and its end."""

    def __init__(self, content_type: str, spool: Spool, most_bytes: int) -> None:
        self._arriving = Arriving(spool)
        self._most_bytes = most_bytes
        self._error: ApiError | JobsError | None = None
        if media_type_of(content_type) not in _PART_TYPES:
            self._error = UnsupportedMediaType(f"A part must be {DICOM}.")

    async def add(self, piece: memoryview) -> None:
        """Take bytes of the part; those of one that failed are dropped."""
        if self._error is not None:
            return
        self._arriving.add((piece,))
        if self._arriving.size_bytes > self._most_bytes:
            self._fail(PayloadTooLarge(f"An instance may have {self._most_bytes} bytes. Do not send it again."))
        elif self._arriving.unwritten_bytes >= WRITE_BYTES:
            try:
                await asyncio.to_thread(self._arriving.write)
            except JobsError as error:
                self._fail(error)

    async def end(self) -> ReceivedPart:
        """Return what the part turned out to be."""
        if self._error is not None:
            return FailedPart(error=self._error)
        try:
            return await asyncio.to_thread(self._close)
        except (JobsError, ImageError) as error:
            self.discard()
            return FailedPart(error=error)

    def discard(self) -> None:
        """Remove what was not kept; harmless when repeated."""
        self._arriving.discard()

    def _close(self) -> WholePart:
        upload = self._arriving.write()
        header = inspect_header(upload.content())
        if header.image_format is not ImageFormat.DICOM:
            raise UnsupportedFormat(Reason.DECODE_ERROR, "no DICOM Part 10 file")
        return WholePart(upload=upload, header=header)

    def _fail(self, error: ApiError | JobsError) -> None:
        self._error = error
        self.discard()
