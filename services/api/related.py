"""The body of a STOW-RS request, parsed while it streams: multipart/related (RFC 2387), or one instance as it is.

Takes what real clients send (PROTOCOLS §1): a boundary quoted or not and of any length that a header has room for
(Orthanc's has 73 characters, where RFC 2046 allows 70), blank lines or text before the first delimiter, none or text
after the last one, ``type`` quoted, unquoted or left out, parts that state their length. Knows no instance, no file.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from python_multipart import MultipartParser
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header

from services.api.errors import MalformedMultipart, NoInstances, TooManyParts, UnsupportedMediaType

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

RELATED: Final = "multipart/related"
DICOM: Final = "application/dicom"

_HEADERS: Final = 16
_HEADER_BYTES: Final = 4096
_BOUNDARY_BYTES: Final = 256
_PREAMBLE_BYTES: Final = 4096
_PADDING_BYTES: Final = 64
_ADVICE: Final = "Send multipart/related as PS3.18 8.6.1.2 has it: each instance a part, after its own delimiter line."


@dataclass(frozen=True, kw_only=True)
class PartBegins:
    """A part's headers were read; ``content_type`` is empty where it has none."""

    content_type: str


@dataclass(frozen=True)
class PartEnds:
    """A part is whole."""


# What a body consists of: between PartBegins and PartEnds the bytes of one part, in pieces of what arrived.
Event = PartBegins | memoryview | PartEnds


class RelatedBody:
    """Turns chunks of a multipart/related body into its parts.

    Parameters
    ----------
    boundary
        As the request's Content-Type names it, without quotes.
    most_parts
        How many there may be.
    """

    def __init__(self, boundary: bytes, *, most_parts: int) -> None:
        if not 0 < len(boundary) <= _BOUNDARY_BYTES:
            raise MalformedMultipart(
                "The Content-Type of a multipart body must name its boundary, of 256 bytes at most."
            )
        self._most_parts = most_parts
        self._parts = 0
        self._is_finished = False
        self._events: list[Event] = []
        self._content_type = ""
        self._field = bytearray()
        self._value = bytearray()
        self._delimiter = b"--" + boundary
        # What comes before the first delimiter; None once that was found.
        self._preamble: bytearray | None = bytearray()
        self._opening = re.compile(rb"(?:\A|\r\n)%b[ \t]{0,%d}(\r\n|--)" % (re.escape(self._delimiter), _PADDING_BYTES))
        callbacks: MultipartCallbacks = {
            "on_part_begin": self._part_begins,
            "on_header_field": self._header_field,
            "on_header_value": self._header_value,
            "on_header_end": self._header_ends,
            "on_headers_finished": self._headers_finished,
            "on_part_data": self._part_data,
            "on_part_end": self._part_ends,
            "on_end": self._ends,
        }
        self._parser = MultipartParser(boundary, callbacks, max_header_count=_HEADERS, max_header_size=_HEADER_BYTES)

    def feed(self, chunk: bytes) -> Iterator[Event]:
        """Yield what this chunk of the body completes, then raise where it stops being multipart.

        So the parts before a fault are whole and can be kept. Nothing may be fed after an error.

        Raises
        ------
        MalformedMultipart
            Where the body has no delimiter, or headers that are none, too long or too many.
        TooManyParts
            At the part that is one too many.
        """
        fault: MalformedMultipart | TooManyParts | None = None
        try:
            self._parse(chunk)
        except FormParserError as error:
            fault = MalformedMultipart(_ADVICE)
            fault.__cause__ = error
        except (MalformedMultipart, TooManyParts) as error:
            fault = error
        events, self._events = self._events, []
        yield from events
        if fault is not None:
            raise fault

    def close(self) -> Iterator[Event]:
        """Check that the body was whole, and had parts; yields nothing.

        Raises
        ------
        MalformedMultipart
            If it ended before its closing delimiter: the last part may be cut.
        NoInstances
            If it was empty, or there was not one part.
        """
        is_empty = self._preamble is not None and not self._preamble.strip()
        if is_empty or (self._is_finished and not self._parts):
            raise NoInstances("The body holds no instance. Send each as a part of it.")
        if not self._is_finished:
            raise MalformedMultipart("The multipart body ends before its closing delimiter. Send it again.")
        yield from ()

    def _parse(self, chunk: bytes) -> None:
        if self._preamble is not None:
            chunk = self._after_preamble(chunk)
        if not self._is_finished:
            self._parser.write(chunk)

    def _after_preamble(self, chunk: bytes) -> bytes:
        """Return what the parser is to see, which takes no text before the first delimiter: that line, and the rest."""
        preamble = self._preamble
        assert preamble is not None
        preamble += chunk
        match = self._opening.search(preamble, 0, _PREAMBLE_BYTES + len(self._delimiter) + _PADDING_BYTES)
        if match is None:
            if len(preamble) > _PREAMBLE_BYTES + len(self._delimiter) + _PADDING_BYTES:
                raise MalformedMultipart(_ADVICE)
            return b""
        self._preamble = None
        if match[1] == b"--":
            self._is_finished = True
        return self._delimiter + b"\r\n" + preamble[match.end() :]

    # -- callbacks of the parser ---------------------------------------------------------------------------------------
    def _part_begins(self) -> None:
        self._parts += 1
        if self._parts > self._most_parts:
            raise TooManyParts(
                f"A request may hold {self._most_parts} instances. Send the others in requests of their own."
            )
        self._content_type = ""

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self._field += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _header_ends(self) -> None:
        if self._field.lower() == b"content-type":
            self._content_type = self._value.decode("latin-1")
        self._field.clear()
        self._value.clear()

    def _headers_finished(self) -> None:
        self._events.append(PartBegins(content_type=self._content_type))

    def _part_data(self, data: bytes, start: int, end: int) -> None:
        self._events.append(memoryview(data)[start:end])

    def _part_ends(self) -> None:
        self._events.append(PartEnds())

    def _ends(self) -> None:
        self._is_finished = True


class SingleBody:
    """One instance as the whole body, told as a body of one part."""

    def __init__(self) -> None:
        self._has_begun = False

    def feed(self, chunk: bytes) -> Iterator[Event]:
        """Yield the chunk, as bytes of the only part."""
        if chunk and not self._has_begun:
            self._has_begun = True
            yield PartBegins(content_type=DICOM)
        if chunk:
            yield memoryview(chunk)

    def close(self) -> Iterator[Event]:
        """End the part; raise NoInstances where not one byte came."""
        if not self._has_begun:
            raise NoInstances("The body is empty. Send an instance as the body, or each as a part of it.")
        yield PartEnds()


StoreBody = RelatedBody | SingleBody


def store_body(content_type: str, *, most_parts: int) -> StoreBody:
    """Return what reads a body of this type.

    Raises
    ------
    UnsupportedMediaType
        If it is neither instances nor one instance: another type, or a multipart of another ``type``.
    MalformedMultipart
        If it names no boundary, or one that is too long.
    """
    media_type, parameters = parse_options_header(content_type)
    if media_type == DICOM.encode():
        return SingleBody()
    if media_type != RELATED.encode() or parameters.get(b"type", DICOM.encode()).lower() != DICOM.encode():
        raise UnsupportedMediaType(f'Send {RELATED}; type="{DICOM}", or one instance as {DICOM}.')
    return RelatedBody(parameters.get(b"boundary", b""), most_parts=most_parts)


def media_type_of(content_type: str) -> str:
    """Return a Content-Type without its parameters."""
    return content_type.partition(";")[0].strip().lower()
