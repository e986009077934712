"""A multipart/form-data body with exactly one part ``file``, parsed while it streams.

Only the parser of python-multipart is used: its form layer, and Starlette's, put every file into a temporary file
first and count no file bytes (RELIABILITY.md §4).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from python_multipart import MultipartParser
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header

from services.api.errors import MalformedMultipart

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

PART_NAME: Final = b"file"
# Boundary lines and part headers around the payload: what a multipart body may be longer than its payload.
OVERHEAD_BYTES: Final = 64 * 1024
_HEADERS: Final = 8
_HEADER_BYTES: Final = 4096
_ADVICE: Final = "Send multipart/form-data with exactly one part, named `file`, or send the film as the whole body."


class SingleFileBody:
    """Turns chunks of the body into chunks of its one file.

    Parameters
    ----------
    content_type
        The request's header, with the boundary.

    Attributes
    ----------
    part_content_type
        The part's own Content-Type once its headers have been read; empty where it has none.

    Raises
    ------
    MalformedMultipart
        From the constructor, ``feed`` and ``close``: no boundary, not multipart, a part of another name, none, two, or
        a body that ends too early.
    """

    def __init__(self, content_type: str) -> None:
        self.part_content_type = ""
        self._parts = 0
        self._is_finished = False
        self._pieces: list[memoryview] = []
        self._field = bytearray()
        self._value = bytearray()
        self._name: bytes | None = None
        boundary = parse_options_header(content_type)[1].get(b"boundary", b"")
        callbacks: MultipartCallbacks = {
            "on_part_begin": self._part_begins,
            "on_header_field": self._header_field,
            "on_header_value": self._header_value,
            "on_header_end": self._header_ends,
            "on_headers_finished": self._headers_finished,
            "on_part_data": self._part_data,
            "on_end": self._ends,
        }
        if not boundary:
            raise MalformedMultipart("The Content-Type of a multipart body must name its boundary.")
        try:
            self._parser = MultipartParser(
                boundary, callbacks, max_header_count=_HEADERS, max_header_size=_HEADER_BYTES
            )
        except FormParserError as error:
            raise MalformedMultipart("The boundary of the multipart body is too long.") from error

    def feed(self, chunk: bytes) -> Sequence[memoryview]:
        """Return the payload that this chunk of the body completes, in pieces of the chunk itself; may be none."""
        self._pieces = []
        try:
            self._parser.write(chunk)
        except FormParserError as error:
            raise MalformedMultipart(_ADVICE) from error
        return self._pieces

    def close(self) -> None:
        """Check that the body was whole."""
        if not self._is_finished:
            raise MalformedMultipart("The multipart body ends before its closing boundary. Send it again.")

    def _part_begins(self) -> None:
        self._parts += 1
        if self._parts > 1:
            raise MalformedMultipart(_ADVICE)

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self._field += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _header_ends(self) -> None:
        field, value = bytes(self._field).lower(), self._value.decode("latin-1")
        if field == b"content-disposition":
            self._name = parse_options_header(value)[1].get(b"name")
        elif field == b"content-type":
            self.part_content_type = value
        self._field.clear()
        self._value.clear()

    def _headers_finished(self) -> None:
        if self._name != PART_NAME:
            raise MalformedMultipart(_ADVICE)

    def _part_data(self, data: bytes, start: int, end: int) -> None:
        self._pieces.append(memoryview(data)[start:end])

    def _ends(self) -> None:
        self._is_finished = self._parts == 1
