"""JPEG files and frames become pixels here, each proved whole before anybody sees it.

libjpeg paints what a scan lacks gray and only warns. Three ways to notice, the cheapest that a file allows; why each is
a proof stands in docs/decisions/0007-incomplete-jpeg.md. Between ``jpeg_segments`` (where the data lie) and ``codecs``
and ``raster`` (what they mean).
"""

from __future__ import annotations

from functools import cache
from typing import Any, Final

import imagecodecs
import numpy as np
import simplejpeg
from numpy.typing import NDArray

from model.decoding.codec_errors import codec_wall
from model.decoding.jpeg_scans import END_MARKER, JpegHead, read_head, require_every_scan, with_rows, with_surplus
from model.decoding.source import corrupt

# T.81 table B.1: baseline, extended and progressive DCT, lossless; all of them Huffman coded.
_EXTENDED, _LOSSLESS = 0xC1, 0xC3
_DCT: Final = frozenset({0xC0, _EXTENDED, 0xC2})
_COLOUR_SPACES: Final = {1: "GRAY", 3: "RGB"}
_BLOCK_ROWS: Final = 8
# libjpeg's JPEG_MAX_DIMENSION (jmorecfg.h); the header's field holds little more.
_MOST_ROWS: Final = 65_500
# Of libjpeg's JWRN_HIT_MARKER and JWRN_JPEG_EOF (jerror.h); should its words change, ``_decode_twice`` decides.
_DATA_MISSING: Final = "premature end"


def decode_jpeg(content: bytes, *, reduction: int = 1) -> NDArray[Any]:
    """Decode a whole JPEG of process 1, 2, 4 or 14.

    Parameters
    ----------
    reduction
        1, 2, 4 or 8: how much smaller each side may come back. Only 8-bit DCT frames do, by the inverse transform of
        fewer coefficients: pixels are a level or two from the means of the full-size ones.

    Returns
    -------
    ndarray
        ``(rows, columns)`` or ``(rows, columns, samples)``, uint8 or uint16; or both sides divided by ``reduction``,
        rounded up.

    Raises
    ------
    CorruptImage
        If the frame is damaged or incomplete.
    """
    head = read_head(content)
    pixels = None
    if head.code in _DCT and head.frame.precision == 8 and head.frame.components in _COLOUR_SPACES:
        pixels = _decode_strictly(content, head, reduction)
    elif head.code in (_EXTENDED, _LOSSLESS) and head.frame.components == 1 and not head.has_restarts:
        pixels = _decode_with_more_rows(content, head)
    return _decode_twice(content) if pixels is None else pixels


@cache
def paints_missing_rows_gray() -> bool:
    """Try whether the installed libjpeg leaves incomplete scans as ``_decode_with_more_rows`` expects them.

    Nothing documents it, so that another release may do otherwise; then everything but 8-bit DCT is decoded twice.
    """
    noise = np.random.default_rng(0).integers(0, 4096, (32, 32), dtype=np.uint16)
    for is_lossless in (True, False):
        frame = bytes(imagecodecs.jpeg8_encode(noise, bitspersample=12, lossless=is_lossless))
        cut = imagecodecs.jpeg8_decode(frame[: len(frame) // 2].rstrip(b"\xff") + END_MARKER)
        if not (cut[-_BLOCK_ROWS:] == 2048).all():
            return False
    return True


def _decode_strictly(content: bytes, head: JpegHead, reduction: int) -> NDArray[np.uint8] | None:
    """Decode with a libjpeg that reports its warnings; ``None`` where it has another one than that data are missing.

    Others may be harmless, such as bytes between two segments. A scan that is missing altogether causes none:
    ``require_every_scan`` looks for those.
    """
    require_every_scan(content)
    try:
        pixels: NDArray[np.uint8] = simplejpeg.decode_jpeg(
            content,
            colorspace=_COLOUR_SPACES[head.frame.components],
            min_height=-(-head.frame.rows // reduction),
            min_width=-(-head.frame.columns // reduction),
            min_factor=reduction,
            strict=True,
        )
    except ValueError as warning:
        if _DATA_MISSING in str(warning).lower():
            raise corrupt("the JPEG's entropy-coded data is incomplete") from warning
        return None
    return pixels[..., 0] if head.frame.components == 1 else pixels


def _decode_with_more_rows(content: bytes, head: JpegHead) -> NDArray[Any] | None:
    """Decode the one scan of a frame whose header states more rows than it has; ``None`` where they prove nothing.

    Once libjpeg has asked for a bit that is not there, it paints all later rows in the middle gray. A whole scan ends
    with its last row: the first bit that is missing belongs to the rows that were added, and these begin with
    something else. A scan that lacks data leaves them gray from end to end.
    """
    if content.rfind(END_MARKER) < head.scan_at:
        raise corrupt("the JPEG ends before its end marker")
    unit = 1 if head.code == _LOSSLESS else _BLOCK_ROWS
    whole = -(-head.frame.rows // unit) * unit
    if whole + unit > _MOST_ROWS or not paints_missing_rows_gray():
        return None
    with codec_wall():
        longer = np.asarray(imagecodecs.jpeg8_decode(with_rows(content, head, whole + unit)))
    is_gray = bool((longer[whole:] == 1 << (head.frame.precision - 1)).all())
    return None if is_gray else longer[: head.frame.rows]


def _decode_twice(content: bytes) -> NDArray[Any]:
    """Decode as it is and with surplus bytes, which stay without effect where nothing is missing."""
    surplus = with_surplus(content)
    with codec_wall():
        pixels = np.asarray(imagecodecs.jpeg8_decode(content))
        repeated = imagecodecs.jpeg8_decode(surplus)
    if not np.array_equal(pixels, repeated):
        raise corrupt("the JPEG's entropy-coded data is incomplete")
    return pixels
