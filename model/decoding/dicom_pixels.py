"""Stored pixel values of a DICOM film: frame, bits and sign as PS3.5 section 8 and PS3.3 C.7.6.3 say.

Between ``dicom_attributes`` (where the pixels lie) and ``voi`` (what they look like). Must not know windows.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.decoding.codecs import decode_frame
from model.decoding.dicom_attributes import Attributes, FileMeta
from model.decoding.dicom_elements import Element, fragments
from model.decoding.source import corrupt
from model.decoding.transfer_syntaxes import LOSSY, NATIVE

BITS_ALLOCATED, BITS_STORED, HIGH_BIT, PIXEL_REPRESENTATION = 0x00280100, 0x00280101, 0x00280102, 0x00280103


@dataclass(frozen=True, kw_only=True)
class BitLayout:
    """Where a sample's bits lie in its word: (0028,0100) to (0028,0103)."""

    allocated: int
    stored: int
    high: int
    is_signed: bool


def read_bit_layout(attributes: Attributes) -> BitLayout:
    """Return the bit layout.

    Raises
    ------
    CorruptImage
        If it is incomplete, impossible, or allocates neither 8 nor 16 bits (CR and DX know no others, PS3.3 C.8.1.2).
    """
    allocated, stored = attributes.short(BITS_ALLOCATED), attributes.short(BITS_STORED)
    if allocated not in (8, 16) or stored is None or not 1 <= stored <= allocated:
        raise corrupt("Bits Allocated and Bits Stored describe no gray film")
    high, representation = attributes.short(HIGH_BIT), attributes.short(PIXEL_REPRESENTATION)
    high = stored - 1 if high is None else high
    if not stored - 1 <= high < allocated or representation not in (None, 0, 1):
        raise corrupt("High Bit or Pixel Representation is impossible")
    return BitLayout(allocated=allocated, stored=stored, high=high, is_signed=representation == 1)


def read_stored_values(
    content: bytes, meta: FileMeta, pixels: Element, layout: BitLayout, shape: tuple[int, int], *, reduction: int = 1
) -> NDArray[Any]:
    """Return the one frame's stored values, ``(rows, columns)`` uint8, uint16 or int16.

    Both sides are divided by ``reduction`` and rounded up where the frame's codec can (see ``decode_frame``).

    Native ones stay where they are in ``content``, read-only, wherever their words hold nothing but them. Bits above
    Bits Stored (overlays in old films) are dropped; signed values are extended from their sign bit, for compressed
    frames too, because Pixel Representation describes what a decoder returns (PS3.5 8.2).

    Raises
    ------
    CorruptImage
        If there are fewer or more pixels than ``shape``, or the frame cannot be decoded.
    """
    word_bytes = layout.allocated // 8
    if meta.transfer_syntax_uid in NATIVE:
        return _extract_bits(_find_native(content, pixels, shape, word_bytes), layout)
    if pixels.length is None:
        frame = b"".join(fragments(io.BytesIO(content), pixels, len(content)))
        words = decode_frame(frame, meta.transfer_syntax_uid, *shape, word_bytes, reduction=reduction)
        is_lossy = meta.transfer_syntax_uid in LOSSY or words.shape != shape
        return _fit_into_stored_bits(words, layout, is_lossy=is_lossy)
    raise corrupt("the pixels of a compressed film are not encapsulated")


def _find_native(content: bytes, pixels: Element, shape: tuple[int, int], word_bytes: int) -> NDArray[Any]:
    expected = shape[0] * shape[1] * word_bytes
    # An odd number of bytes is padded to an even one (PS3.5 8.1.1).
    if pixels.length not in (expected, expected + expected % 2):
        raise corrupt("Pixel Data is longer or shorter than Rows by Columns")
    if pixels.offset + expected > len(content):
        raise corrupt("the file ends within Pixel Data")
    words = np.frombuffer(content, np.dtype(f"<u{word_bytes}"), shape[0] * shape[1], pixels.offset)
    return words.reshape(shape)


def _fit_into_stored_bits(words: NDArray[Any], layout: BitLayout, *, is_lossy: bool) -> NDArray[Any]:
    """Return a codec's values as ``_extract_bits`` does; unsigned ones are kept within Bits Stored instead of masked.

    Masking would turn white into black.

    A lossy codec may overshoot the brightest value by a little; a lossless one that exceeds it contradicts the header.
    """
    if words.dtype.itemsize * 8 > layout.allocated:
        raise corrupt("the frame holds more bits than are allocated")
    brightest = 2**layout.stored - 1
    if layout.is_signed or layout.high != layout.stored - 1:
        return _extract_bits(words, layout)
    # Each of these looks at every pixel: none is asked of unsigned words for what they cannot be.
    is_above_black = words.dtype.kind == "u" or int(words.min()) >= 0
    if not (is_above_black and int(words.max()) <= brightest):
        if not is_lossy:
            raise corrupt("the frame holds values beyond Bits Stored")
        words = np.clip(words, 0, min(brightest, np.iinfo(words.dtype).max))
    return _as_unsigned(words, layout)


def _extract_bits(words: NDArray[Any], layout: BitLayout) -> NDArray[Any]:
    """Shift, mask and sign-extend; returns ``words`` itself where all their bits are stored."""
    unsigned = _as_unsigned(words, layout)
    shift = layout.high + 1 - layout.stored
    if layout.is_signed:
        return _sign_extend(unsigned, layout.stored, shift)
    has_other_bits = layout.stored < 8 * unsigned.dtype.itemsize
    if shift == 0 and not (has_other_bits and int(unsigned.max()) >= 2**layout.stored):
        return unsigned
    lowered = np.right_shift(unsigned, shift)
    return np.asarray(np.bitwise_and(lowered, unsigned.dtype.type(2**layout.stored - 1)))


def _as_unsigned(words: NDArray[Any], layout: BitLayout) -> NDArray[Any]:
    """Return the words' bits; a codestream of less precision than Bits Stored keeps its values, in wider words."""
    if words.dtype.itemsize * 8 < layout.stored:
        words = words.astype(np.int16 if words.dtype.kind == "i" else np.uint16)
    return np.asarray(words.view(np.uint8 if words.dtype.itemsize == 1 else np.uint16))


def _sign_extend(unsigned: NDArray[Any], stored: int, shift: int) -> NDArray[Any]:
    """Move the sign bit to bit 15 and back, which repeats it; ``unsigned`` itself where every sign is there already."""
    if unsigned.dtype.itemsize == 2 and shift == 0:
        signed: NDArray[Any] = unsigned.view(np.int16)
        largest = 2 ** (stored - 1)
        if -largest <= int(signed.min()) and int(signed.max()) < largest:
            return signed
    lifted = unsigned.astype(np.uint16) << (16 - stored - shift)
    extended: NDArray[np.int16] = lifted.view(np.int16) >> (16 - stored)
    return extended
