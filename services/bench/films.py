"""Films to send, each told apart from every other by a stamp in its bytes. Knows no service.

The same bytes sent twice are the same film, and are answered from its record: a load of them would measure nothing. A
stamp changes no pixel: a PNG gets a text chunk, a JPEG a comment, a DICOM file other UIDs.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from model.decoding.header import ImageFormat
from model.errors import ImageError

_PNG_HEAD_BYTES: Final = 33  # signature and IHDR, which must come first (PNG 3rd edition, 5.6)
_JPEG_SOI_BYTES: Final = 2
# A UID is numbers with dots, none of which begins with 0 (PS3.5 9.1); 2.25.<integer> needs no root (PS3.5 B.2).
_UID_ROOT: Final = "2.25."
_NUMBER_DIGITS: Final = 9
_RUN_DIGITS: Final = 8
_SHORTEST_UID: Final = len(_UID_ROOT) + _RUN_DIGITS + _NUMBER_DIGITS
# More than one, so that the same pixels do not follow each other; a large one takes two seconds to draw.
_DRAWINGS: Final = 2
_DICOM_SIZE: Final = (3000, 2500)


class FilmKind(StrEnum):
    """What is drawn where no files are given."""

    PNG = "png"  # 1024 x 1024, 8 bits
    JPEG = "jpeg"  # 1024 x 1024, 8 bits
    DICOM = "dicom"  # 3000 x 2500, 12 bits in 16, uncompressed: 15 MB


class CannotStamp(Exception):
    """A file of which there can be no second one: of no known format, or DICOM with UIDs too short for a number."""


@dataclass(frozen=True, kw_only=True)
class Template:
    """A file cut where its stamps go: ``stamps[i]`` stands between ``pieces[i]`` and ``pieces[i + 1]``."""

    media_type: str
    pieces: tuple[bytes, ...]
    stamps: tuple[Callable[[str], bytes], ...]

    def stamped(self, serial: str) -> bytes:
        """Return the file with ``serial``, decimal digits, in it."""
        parts = [self.pieces[0]]
        for stamp, piece in zip(self.stamps, self.pieces[1:], strict=True):
            parts += (stamp(serial), piece)
        return b"".join(parts)


class Films:
    """Films without end. Film ``number`` is the same bytes whenever it is asked for, and others in every other run."""

    def __init__(self, templates: Sequence[Template], *, run: str | None = None) -> None:
        self._templates = templates
        self._run = run or _fresh_run()

    def film(self, number: int) -> tuple[str, bytes]:
        """Return media type and payload of film ``number``."""
        template = self._templates[number % len(self._templates)]
        return template.media_type, template.stamped(f"{self._run}{number:0{_NUMBER_DIGITS}d}")


def _fresh_run() -> str:
    """Return digits that no other run has, the first of which is not 0."""
    span = 9 * 10 ** (_RUN_DIGITS - 1)
    return str(10 ** (_RUN_DIGITS - 1) + int.from_bytes(os.urandom(8)) % span)


def template_of(content: bytes) -> Template:
    """Return a file as a template.

    Raises
    ------
    CannotStamp
        If its bytes cannot be made to differ without changing what it shows.
    """
    # Imported here: it brings pydicom, which would slow down every other command.
    from model.decoding.inspect import inspect_header

    try:
        header = inspect_header(content)
    except ImageError as error:
        raise CannotStamp(str(error)) from error
    match header.image_format:
        case ImageFormat.PNG:
            pieces = content[:_PNG_HEAD_BYTES], content[_PNG_HEAD_BYTES:]
            return Template(media_type="image/png", pieces=pieces, stamps=(_png_text,))
        case ImageFormat.JPEG:
            pieces = content[:_JPEG_SOI_BYTES], content[_JPEG_SOI_BYTES:]
            return Template(media_type="image/jpeg", pieces=pieces, stamps=(_jpeg_comment,))
        case ImageFormat.DICOM:
            return _dicom_template(content, header.study_instance_uid, header.sop_instance_uid)


def _png_text(serial: str) -> bytes:
    body = b"tEXt" + b"Comment\0" + serial.encode()
    return struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))


def _jpeg_comment(serial: str) -> bytes:
    return b"\xff\xfe" + struct.pack(">H", len(serial) + 2) + serial.encode()


def _dicom_template(content: bytes, *uids: str | None) -> Template:
    """Cut the file wherever one of its own UIDs stands; a study of its own too, or one study would grow without end."""
    places = _places(content, [uid.encode() for uid in uids if uid is not None])
    if not places or min(length for _, length in places) < _SHORTEST_UID:
        raise CannotStamp(
            f"a DICOM file needs UIDs of {_SHORTEST_UID} characters or more, to put numbers in their place"
        )
    pieces, begin = [], 0
    for at, length in places:
        pieces.append(content[begin:at])
        begin = at + length
    stamps = tuple(_uid_of_length(length) for _, length in places)
    return Template(media_type="application/dicom", pieces=(*pieces, content[begin:]), stamps=stamps)


def _places(content: bytes, uids: list[bytes]) -> list[tuple[int, int]]:
    """Return where the UIDs stand, and how long each is; of two that begin alike the longer one counts."""
    taken: dict[int, int] = {}
    for uid in sorted(uids, key=len, reverse=True):
        at = content.find(uid)
        while at >= 0:
            taken.setdefault(at, len(uid))
            at = content.find(uid, at + len(uid))
    return sorted(taken.items())


def _uid_of_length(length: int) -> Callable[[str], bytes]:
    def uid(serial: str) -> bytes:
        # Zeros behind the serial, none before it: no component may begin with one.
        return f"{_UID_ROOT}{serial}".ljust(length, "0").encode()

    return uid


def drawn_films(kind: FilmKind) -> list[Template]:
    """Return a few drawings of this kind."""
    return [template_of(_draw(kind, seed)) for seed in range(_DRAWINGS)]


def _draw(kind: FilmKind, seed: int) -> bytes:
    # Imported here: it brings pydicom and every codec, which would slow down all other commands.
    from services.phantoms import phantom_dicom, phantom_jpeg, phantom_png

    match kind:
        case FilmKind.PNG:
            return phantom_png(seed, rows=1024, columns=1024)
        case FilmKind.JPEG:
            return phantom_jpeg(seed, rows=1024, columns=1024)
        case FilmKind.DICOM:
            rows, columns = _DICOM_SIZE
            return phantom_dicom(seed, rows=rows, columns=columns, WindowCenter="2048", WindowWidth="4096")


def films_of(paths: Sequence[Path]) -> list[Template]:
    """Return these files as templates; all of them stay in memory.

    Raises
    ------
    CannotStamp
        If one cannot be stamped, with its name.
    OSError
        If one cannot be read.
    """
    templates = []
    for path in paths:
        try:
            templates.append(template_of(path.read_bytes()))
        except CannotStamp as error:
            raise CannotStamp(f"{path.name}: {error}") from error
    return templates
