"""Films that are small to send and ruinous to believe (RELIABILITY.md §2 S2)."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from tests.support.films import (
    DEFLATED,
    EXPLICIT,
    JPEG_2000_LOSSLESS,
    JPEG_BASELINE,
    JPEG_LS,
    RLE,
    dicom_film,
    encode_frame,
    jpeg_film,
    phantom_pixels,
    png_film,
)

_PIECE_BYTES: Final = 16 * 1024**2
_GIBIBYTE: Final = 1024**3
_NESTED: Final = 100_000


@dataclass(frozen=True, kw_only=True)
class Bomb:
    """A film and what it may come to: HTTP statuses and reasons. ``is_scored_too``: it is harmless and a film."""

    payload: bytes
    statuses: tuple[int, ...] = (415, 422)
    reasons: tuple[str, ...] = ()
    is_scored_too: bool = False
    headers: dict[str, str] = field(default_factory=dict)


def zeros(size_bytes: int, *, wbits: int) -> bytes:
    """Return a deflate stream of so many zeros, made from one piece that is flushed and repeated."""
    packer = zlib.compressobj(9, wbits=-15)
    piece = packer.compress(bytes(_PIECE_BYTES)) + packer.flush(zlib.Z_FULL_FLUSH)
    raw = piece * (size_bytes // _PIECE_BYTES) + b"\x03\x00"
    # The checksum is wrong, which only those learn who have inflated all of it.
    return raw if wbits < 0 else b"\x78\x9c" + raw + bytes(4)


def _chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def _png(width: int, height: int, *chunks: bytes) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + b"".join(chunks) + _chunk(b"IEND", b"")


def _with_chunk(name: bytes, content: bytes) -> bytes:
    """Return a film that is scored, with another chunk behind its header."""
    film = png_film(rows=96, columns=96)
    end_of_header = 8 + 25
    return film[:end_of_header] + _chunk(name, content) + film[end_of_header:]


def _nested_sequences() -> bytes:
    """Return a DICOM film whose data set begins with sequences in sequences, each without an end."""
    film = dicom_film(transfer_syntax=EXPLICIT)
    modality = film.index(b"\x08\x00\x60\x00CS")
    opening = b"\x08\x00\x40\x11SQ\x00\x00\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff"
    return film[:modality] + opening * _NESTED + film[modality:]


def _jpeg_of(rows: int, columns: int) -> bytes:
    film = jpeg_film(rows=96, columns=96)
    frame = film.index(b"\xff\xc0")
    return film[: frame + 5] + struct.pack(">HH", rows, columns) + film[frame + 9 :]


def _jpeg2000_with_tiles(width: int, height: int) -> bytes:
    """Return a film whose codestream speaks of other tiles than it has: XTsiz and YTsiz, ITU-T T.800 A.5.1."""
    frame = bytearray(encode_frame(phantom_pixels(rows=512, columns=512), JPEG_2000_LOSSLESS))
    struct.pack_into(">II", frame, frame.index(b"\xff\x51") + 22, width, height)
    return dicom_film(rows=512, columns=512, transfer_syntax=JPEG_2000_LOSSLESS, frame=bytes(frame))


def _jpeg2000_of(side: int) -> bytes:
    frame = bytearray(encode_frame(phantom_pixels(), JPEG_2000_LOSSLESS))
    struct.pack_into(">II", frame, frame.index(b"\xff\x51") + 6, side, side)
    return dicom_film(transfer_syntax=JPEG_2000_LOSSLESS, frame=bytes(frame))


def _rle_of_many_segments() -> bytes:
    frame = struct.pack("<16L", 1_000_000, *[64] * 15) + bytes(4_000_000)
    return dicom_film(transfer_syntax=RLE, frame=frame)


def _jpegls_with_presets() -> bytes:
    """Return a film with preset parameters that no coder writes (LSE, ITU-T T.87 C.2.4.1): thresholds out of order."""
    frame = encode_frame(phantom_pixels(), JPEG_LS)
    presets = b"\xff\xf8" + struct.pack(">HB5H", 13, 1, 65535, 65535, 1, 65535, 65535)
    scan = frame.index(b"\xff\xda")
    return dicom_film(transfer_syntax=JPEG_LS, frame=frame[:scan] + presets * 2000 + frame[scan:])


def bombs() -> dict[str, Bomb]:
    """Return every bomb by its name."""
    large = ("too_large",)
    pixels = np.zeros((96, 96), np.uint8)
    return {
        "deflated DICOM, 2 GiB": Bomb(payload=_deflated_dicom(), statuses=(202,), reasons=("transfer_syntax",)),
        "PNG of 2.5 Gpx": Bomb(
            payload=_png(50_000, 50_000, _chunk(b"IDAT", zeros(2 * _GIBIBYTE, wbits=15))),
            statuses=(202,),
            reasons=large,
        ),
        "PNG of 2^31 by 2^31": Bomb(payload=_png(2**31 - 1, 2**31 - 1), statuses=(202, 422), reasons=large),
        "PNG whose IDAT is 1 GiB too long": Bomb(
            payload=_png(96, 96, _chunk(b"IDAT", zeros(_GIBIBYTE, wbits=15))),
            statuses=(202,),
            reasons=("decode_error", "blank"),
        ),
        "PNG with zTXt of 1 GiB": Bomb(
            payload=_with_chunk(b"zTXt", b"Comment\0\0" + zeros(_GIBIBYTE, wbits=15)),
            statuses=(202,),
            is_scored_too=True,
        ),
        "PNG with iCCP of 1 GiB": Bomb(
            payload=_with_chunk(b"iCCP", b"profile\0\0" + zeros(_GIBIBYTE, wbits=15)),
            statuses=(202,),
            is_scored_too=True,
        ),
        "JPEG of 65500 by 65500": Bomb(payload=_jpeg_of(65500, 65500), statuses=(202,), reasons=large),
        "DICOM of 65535 by 65535": Bomb(
            payload=dicom_film(pixels, Rows=65535, Columns=65535), statuses=(202,), reasons=large
        ),
        "DICOM of a million frames": Bomb(
            payload=dicom_film(pixels, NumberOfFrames=1_000_000), statuses=(202,), reasons=("multi_frame",)
        ),
        "DICOM with 100,000 nested sequences": Bomb(payload=_nested_sequences()),
        "JPEG in DICOM of another size": Bomb(
            payload=dicom_film(pixels, transfer_syntax=JPEG_BASELINE, frame=_jpeg_of(65500, 65500)),
            statuses=(202,),
            reasons=("decode_error",),
        ),
        "JPEG 2000 of 2^31 by 2^31": Bomb(payload=_jpeg2000_of(2**31), statuses=(202,), reasons=("decode_error",)),
        "JPEG 2000 with a tile of 2^32": Bomb(
            payload=_jpeg2000_with_tiles(2**32 - 1, 2**32 - 1),
            statuses=(202,),
            reasons=("decode_error",),
            is_scored_too=True,
        ),
        "JPEG 2000 with tiles of one pixel": Bomb(
            payload=_jpeg2000_with_tiles(1, 1), statuses=(202,), reasons=("decode_error",)
        ),
        "JPEG 2000 with 65,536 tiles": Bomb(
            payload=_jpeg2000_with_tiles(2, 2), statuses=(202,), reasons=("decode_error",)
        ),
        "RLE with a million segments": Bomb(
            payload=_rle_of_many_segments(), statuses=(202,), reasons=("decode_error",)
        ),
        "JPEG-LS with wild presets": Bomb(payload=_jpegls_with_presets(), statuses=(202,), reasons=("decode_error",)),
        "gzip as content encoding": Bomb(payload=png_film(), statuses=(415,), headers={"Content-Encoding": "gzip"}),
    }


def _deflated_dicom() -> bytes:
    film = dicom_film(transfer_syntax=DEFLATED)
    (group_length,) = struct.unpack_from("<I", film, 140)
    end_of_meta = 132 + 12 + group_length
    return film[:end_of_meta] + zeros(2 * _GIBIBYTE, wbits=-15)
