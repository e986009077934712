"""Synthetic DICOM films and what must become of them, written by hand from the standard.

Every film is 64 x 64: four vertical bands, 16 columns each. ``shown`` is what a reader sees of the four bands, from 0
(black) to 1 (white); the numbers are worked out in the comment beside them, never by our code.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset

from model.errors import Reason
from model.gate import GateSpec
from tests.support import films

THIRDS = (0.0, 1 / 3, 2 / 3, 1.0)
THIRDS_INVERTED = (1.0, 2 / 3, 1 / 3, 0.0)
# Twelve bits in equal steps. The builder's own window, centre 2048 and width 4096, shows 0 black and 4095 white:
# PS3.3 C.11.2.1.2.1: black at c - 0.5 - (w - 1) / 2 = 2047.5 - 2047.5 = 0, white at 2047.5 + 2047.5 = 4095.
RAMP = (0, 1365, 2730, 4095)
NO_VOI: dict[str, Any] = {"WindowCenter": None, "WindowWidth": None}


@dataclass(frozen=True, kw_only=True)
class Case:
    """One film. Exactly one of ``shown`` and ``reason`` is set; ``clause`` says why."""

    name: str
    clause: str
    attributes: dict[str, Any] = field(default_factory=dict)
    bands: tuple[int, int, int, int] = RAMP
    dtype: type = np.uint16
    shown: tuple[float, float, float, float] | None = None
    reason: Reason | None = None
    tolerance: float = 1e-3
    pixel_aspect: float = 1.0
    spec: GateSpec = field(default_factory=GateSpec)

    def payload(self) -> bytes:
        """Return the film's bytes."""
        return films.dicom_film(band_pixels(self.bands, self.dtype), **self.attributes)


def band_pixels(bands: tuple[int, ...], dtype: type) -> Any:
    """Return ``(64, 64)`` pixels of four bands."""
    return np.tile(np.repeat(np.array(bands, dtype=dtype), 16), (64, 1))


def sequence_of(**attributes: Any) -> list[Dataset]:
    """Return a sequence of one item."""
    item = Dataset()
    for keyword, value in attributes.items():
        setattr(item, keyword, value)
    return [item]


def code(value: str, scheme: str = "SCT") -> list[Dataset]:
    """Return a code sequence of one item."""
    return sequence_of(CodeValue=value, CodingSchemeDesignator=scheme, CodeMeaning="-")


def lut(first: int, bits: int, *entries: int, count: int | None = None, packed: bool = False) -> list[Dataset]:
    """Return a LUT sequence of one item: descriptor (entries, first input, bits of an entry) and data."""
    (item,) = sequence_of(
        LUTDescriptor=[len(entries) if count is None else count, first, bits],
        LUTData=struct.pack(f"<{len(entries)}{'B' if packed else 'H'}", *entries),
    )
    item["LUTDescriptor"].VR = "SS" if first < 0 else "US"
    item["LUTData"].VR = "OW"
    return [item]


def scored(name: str, clause: str, shown: tuple[float, float, float, float], **fields: Any) -> Case:
    """Return a case whose film passes both gates and shows ``shown``."""
    known = {"bands", "dtype", "tolerance", "pixel_aspect", "spec"}
    attributes = {keyword: value for keyword, value in fields.items() if keyword not in known}
    rest = {keyword: value for keyword, value in fields.items() if keyword in known}
    return Case(name=name, clause=clause, shown=shown, attributes=attributes, **rest)


def refused(name: str, clause: str, reason: Reason, **fields: Any) -> Case:
    """Return a case whose film ends ``not_assessed(reason)``."""
    known = {"bands", "dtype", "spec"}
    attributes = {keyword: value for keyword, value in fields.items() if keyword not in known}
    rest = {keyword: value for keyword, value in fields.items() if keyword in known}
    return Case(name=name, clause=clause, reason=reason, attributes=attributes, **rest)


EIGHT_BITS: dict[str, Any] = {"bands": (0, 85, 170, 255), "dtype": np.uint8}  # 255 / 3 = 85

SYNTAXES = (
    scored("explicit little endian", "PS3.5 A.2", THIRDS),
    scored("implicit little endian", "PS3.5 A.1", THIRDS, transfer_syntax=films.IMPLICIT),
    scored("RLE, two byte segments", "PS3.5 annex G", THIRDS, transfer_syntax=films.RLE),
    scored("RLE, one byte segment", "PS3.5 annex G", THIRDS, transfer_syntax=films.RLE, **EIGHT_BITS),
    scored("JPEG lossless process 14", "PS3.5 A.4.1, .57", THIRDS, transfer_syntax=films.JPEG_LOSSLESS),
    scored("JPEG lossless, first order", "PS3.5 A.4.1, .70", THIRDS, transfer_syntax=films.JPEG_LOSSLESS_SV1),
    scored("JPEG-LS lossless", "PS3.5 A.4.3, .80", THIRDS, transfer_syntax=films.JPEG_LS),
    scored("JPEG 2000 lossless", "PS3.5 A.4.4, .90", THIRDS, transfer_syntax=films.JPEG_2000_LOSSLESS),
    scored("HTJ2K lossless", "PS3.5 A.4, .201", THIRDS, transfer_syntax=films.HTJ2K_LOSSLESS),
    scored("HTJ2K lossless, RPCL", "PS3.5 A.4, .202", THIRDS, transfer_syntax=films.HTJ2K_LOSSLESS_RPCL),
    # Lossy codecs may ring at the edges of the bands, which is why their tolerance is wider.
    scored("JPEG baseline", "A.4.1, .50", THIRDS, transfer_syntax=films.JPEG_BASELINE, tolerance=0.02, **EIGHT_BITS),
    scored("JPEG extended, 12 bits", "A.4.1, .51", THIRDS, transfer_syntax=films.JPEG_EXTENDED, tolerance=0.02),
    scored("JPEG-LS near lossless", "A.4.3, .81", THIRDS, transfer_syntax=films.JPEG_LS_LOSSY, tolerance=0.02),
    scored("JPEG 2000 lossy", "A.4.4, .91", THIRDS, transfer_syntax=films.JPEG_2000, tolerance=0.02),
    scored("HTJ2K lossy", "PS3.5 A.4, .203", THIRDS, transfer_syntax=films.HTJ2K, tolerance=0.02),
    refused("deflated", "PS3.5 A.5, DESIGN §6", Reason.TRANSFER_SYNTAX, transfer_syntax=films.DEFLATED),
    refused("big endian", "PS3.5 A.3, retired", Reason.TRANSFER_SYNTAX, transfer_syntax=films.BIG_ENDIAN),
    refused("video", "PS3.5 A.4.6, MPEG-4", Reason.TRANSFER_SYNTAX, transfer_syntax=films.VIDEO),
    refused("private transfer syntax", "PS3.5 section 10", Reason.TRANSFER_SYNTAX, transfer_syntax="1.2.3.4"),
)

BITS = (
    scored("8 bits in 8", "PS3.5 8.1.1", THIRDS, **EIGHT_BITS),
    # 1023 / 3 = 341; window 512/1024: 511.5 -+ 511.5 = 0 .. 1023
    scored("10 bits in 16", "PS3.5 8.1.1", THIRDS, bands=(0, 341, 682, 1023), BitsStored=10, HighBit=9,
           WindowCenter="512", WindowWidth="1024"),
    # 16383 / 3 = 5461; window 8192/16384: 0 .. 16383
    scored("14 bits in 16", "PS3.5 8.1.1", THIRDS, bands=(0, 5461, 10922, 16383), BitsStored=14, HighBit=13,
           WindowCenter="8192", WindowWidth="16384"),
    # 65535 / 3 = 21845; window 32768/65536: 0 .. 65535
    scored("16 bits in 16", "PS3.5 8.1.1", THIRDS, bands=(0, 21845, 43690, 65535), BitsStored=16, HighBit=15,
           WindowCenter="32768", WindowWidth="65536"),
    # Each value of RAMP times 16: its bits lie in 4 to 15.
    scored("high bit 15 of 12 stored", "(0028,0102) High Bit", THIRDS, bands=(0, 21840, 43680, 65520), HighBit=15),
    # 0xF000 added: old overlays lived in the four upper bits.
    scored("overlay bits above Bits Stored", "PS3.5 8.1.2", THIRDS, bands=(0xF000, 0xF555, 0xFAAA, 0xFFFF)),
    # -2048 + 4095 / 3 = -683, + 2730 = 682; window 0/4096: -0.5 -+ 2047.5 = -2048 .. 2047
    scored("signed, 16 in 16", "(0028,0103)", THIRDS, bands=(-2048, -683, 682, 2047), dtype=np.int16,
           BitsStored=16, HighBit=15, WindowCenter="0", WindowWidth="4096"),
    # Two's complement in 12 bits: -2048 = 0x800, -683 = 0xD55, 682 = 0x2AA, 2047 = 0x7FF
    scored("signed, 12 in 16", "PS3.5 8.1.1", THIRDS, bands=(0x800, 0xD55, 0x2AA, 0x7FF), PixelRepresentation=1,
           WindowCenter="0", WindowWidth="4096"),
    scored("signed, 12 bits, JPEG lossless", "PS3.5 8.2.1", THIRDS, bands=(0x800, 0xD55, 0x2AA, 0x7FF),
           PixelRepresentation=1, WindowCenter="0", WindowWidth="4096", transfer_syntax=films.JPEG_LOSSLESS_SV1),
    scored("signed, 16 bits, JPEG 2000", "PS3.5 8.2.4", THIRDS, bands=(-2048, -683, 682, 2047), dtype=np.int16,
           BitsStored=16, HighBit=15, WindowCenter="0", WindowWidth="4096", transfer_syntax=films.JPEG_2000_LOSSLESS),
    scored("signed, 16 bits, RLE", "PS3.5 annex G", THIRDS, bands=(-2048, -683, 682, 2047), dtype=np.int16,
           BitsStored=16, HighBit=15, WindowCenter="0", WindowWidth="4096", transfer_syntax=films.RLE),
    # -128 = 0x80, -43 = 0xD5, 42 = 0x2A, 127 = 0x7F; window 0/256: -0.5 -+ 127.5 = -128 .. 127
    scored("signed, 8 bits", "(0028,0103)", THIRDS, bands=(0x80, 0xD5, 0x2A, 0x7F), dtype=np.uint8,
           PixelRepresentation=1, WindowCenter="0", WindowWidth="256"),
    refused("32 bits allocated", "PS3.3 C.8.1.2 knows 8 and 16", Reason.DECODE_ERROR, BitsAllocated=32),
    refused("more bits stored than allocated", "(0028,0101)", Reason.DECODE_ERROR, BitsStored=17, HighBit=16),
    refused("12-bit frame in an 8-bit film", "PS3.5 8.2", Reason.DECODE_ERROR, BitsAllocated=8, BitsStored=8, HighBit=7,
            transfer_syntax=films.JPEG_LOSSLESS),
    refused("signed frame in an unsigned film", "(0028,0103), PS3.5 8.2.4", Reason.DECODE_ERROR,
            bands=(-2048, -683, 682, 2047), dtype=np.int16, PixelRepresentation=0, BitsStored=16, HighBit=15,
            transfer_syntax=films.JPEG_2000_LOSSLESS),
    refused("frame brighter than its bits allow", "PS3.5 8.2", Reason.DECODE_ERROR, bands=(0, 1, 2, 65535),
            transfer_syntax=films.JPEG_LOSSLESS),
    refused("high bit below the stored bits", "(0028,0102)", Reason.DECODE_ERROR, HighBit=7),
)  # fmt: skip

PHOTOMETRIC = (
    scored("MONOCHROME1 without Presentation LUT Shape", "PS3.3 C.7.6.3.1.2; pydicom leaves it as it is",
           THIRDS_INVERTED, PhotometricInterpretation="MONOCHROME1"),
    scored("MONOCHROME1 with INVERSE is inverted once", "PS3.3 C.8.11.3", THIRDS_INVERTED,
           PhotometricInterpretation="MONOCHROME1", PresentationLUTShape="INVERSE"),
    scored("MONOCHROME2 with IDENTITY", "PS3.3 C.8.11.3", THIRDS, PresentationLUTShape="IDENTITY"),
    scored("MONOCHROME1 without VOI", "DESIGN §4", THIRDS_INVERTED, PhotometricInterpretation="MONOCHROME1", **NO_VOI),
    scored("MONOCHROME1, compressed", "PS3.5 8.2", THIRDS_INVERTED, PhotometricInterpretation="MONOCHROME1",
           transfer_syntax=films.JPEG_LS),
    refused("MONOCHROME2 with INVERSE", "PS3.3 C.8.11.3", Reason.INVERTED, PresentationLUTShape="INVERSE"),
    refused("MONOCHROME1 with IDENTITY", "PS3.3 C.8.11.3", Reason.INVERTED, PresentationLUTShape="IDENTITY",
            PhotometricInterpretation="MONOCHROME1"),
    refused("RGB", "(0028,0004)", Reason.PHOTOMETRIC, PhotometricInterpretation="RGB", SamplesPerPixel=3),
    refused("YBR_FULL_422", "(0028,0004)", Reason.PHOTOMETRIC, PhotometricInterpretation="YBR_FULL_422",
            SamplesPerPixel=3),
    refused("PALETTE COLOR", "(0028,0004)", Reason.PHOTOMETRIC, PhotometricInterpretation="PALETTE COLOR"),
    refused("no photometric interpretation", "(0028,0004) is type 1", Reason.PHOTOMETRIC,
            PhotometricInterpretation=None),
    refused("gray of two samples", "(0028,0002)", Reason.PHOTOMETRIC, SamplesPerPixel=2),
)  # fmt: skip

MODALITY_TRANSFORM = (
    # 2 x - 1000: -1000, 1730, 4460, 7190. LINEAR_EXACT: 3095 -+ 8190 / 2 = -1000 .. 7190
    scored("slope 2, intercept -1000", "PS3.3 C.11.1", THIRDS, RescaleSlope="2", RescaleIntercept="-1000",
           WindowCenter="3095", WindowWidth="8190", VOILUTFunction="LINEAR_EXACT"),
    # 4095 - x: 4095, 2730, 1365, 0
    scored("negative slope", "PS3.3 C.11.1", THIRDS_INVERTED, RescaleSlope="-1", RescaleIntercept="4095"),
    scored("negative slope without VOI", "PS3.3 C.11.1", THIRDS_INVERTED, RescaleSlope="-1",
           RescaleIntercept="4095", **NO_VOI),
    scored("negative slope and MONOCHROME1", "C.11.1, C.7.6.3.1.2", THIRDS, RescaleSlope="-1",
           RescaleIntercept="4095", PhotometricInterpretation="MONOCHROME1"),
    # x / 2: 0 .. 2047.5; LINEAR_EXACT: 1023.75 -+ 1023.75
    scored("slope one half", "PS3.3 C.11.1", THIRDS, RescaleSlope="0.5", RescaleIntercept="0",
           WindowCenter="1023.75", WindowWidth="2047.5", VOILUTFunction="LINEAR_EXACT"),
    scored("modality LUT, then window", "PS3.3 C.11.1.1.1", THIRDS, bands=(0, 1, 2, 3),
           ModalityLUTSequence=lut(0, 16, 0, 1365, 2730, 4095)),
    scored("modality LUT outweighs rescale", "PS3.3 C.11.1: either, not both", THIRDS, bands=(0, 1, 2, 3),
           ModalityLUTSequence=lut(0, 16, 0, 1365, 2730, 4095), RescaleSlope="-7", RescaleIntercept="3"),
    # Inputs below 10 take the first entry, above 12 the last; without VOI the percentiles are 100 and 300.
    scored("modality LUT without VOI", "PS3.3 C.11.1.1", (0.0, 0.0, 0.5, 1.0), bands=(0, 10, 11, 4095),
           ModalityLUTSequence=lut(10, 16, 100, 200, 300), **NO_VOI),
    refused("slope 0", "PS3.3 C.11.1: every value becomes the intercept", Reason.BLANK, RescaleSlope="0",
            RescaleIntercept="5"),
    refused("slope that is no number", "PS3.5 6.2, DS", Reason.DECODE_ERROR,
            RescaleSlope=DataElement(0x00281053, "LO", "one"), RescaleIntercept="0"),
)  # fmt: skip

VOI_TRANSFORM = (
    # 2047.5 -+ 511.5 = 1536 .. 2559; (1877 - 1536) / 1023 = 1/3
    scored("LINEAR inside", "PS3.3 C.11.2.1.2.1", THIRDS, bands=(1536, 1877, 2218, 2559), WindowWidth="1024"),
    scored("LINEAR clips both ends", "PS3.3 C.11.2.1.2.1", (0.0, 0.0, 1.0, 1.0), bands=(0, 1536, 2559, 4095),
           WindowWidth="1024"),
    # 49.5 -+ 49.5 = 0 .. 99
    scored("LINEAR is one level narrower", "PS3.3 C.11.2.1.2.1", THIRDS, bands=(0, 33, 66, 99), WindowCenter="50",
           WindowWidth="100"),
    # 50 -+ 50 = 0 .. 100
    scored("LINEAR_EXACT is not", "PS3.3 C.11.2.1.3.2", (0.0, 0.25, 0.75, 1.0), bands=(0, 25, 75, 100),
           WindowCenter="50", WindowWidth="100", VOILUTFunction="LINEAR_EXACT"),
    # Levels between two integers: 2.5 - 0.5 - 1.5 = 0.5 .. 3.5; (1 - 0.5) / 3 = 1/6, (3 - 0.5) / 3 = 5/6
    scored("LINEAR between integers", "PS3.3 C.11.2.1.2.1", (0.0, 1 / 6, 5 / 6, 1.0), bands=(0, 1, 3, 9),
           WindowCenter="2.5", WindowWidth="4"),
    # 1 / (1 + exp(-4 (x - 2048) / 4096)): exp(2) = 7.38906, exp(1) = 2.71828
    scored("SIGMOID", "PS3.3 C.11.2.1.3.1", (0.11920, 0.26894, 0.5, 0.73106), bands=(0, 1024, 2048, 3072),
           VOILUTFunction="SIGMOID"),
    scored("SIGMOID and MONOCHROME1", "PS3.3 C.11.2.1.3.1", (0.88080, 0.73106, 0.5, 0.26894),
           bands=(0, 1024, 2048, 3072), VOILUTFunction="SIGMOID", PhotometricInterpretation="MONOCHROME1"),
    # 2 x - 4096 gives -4096 .. 2048; 4 (x - 0) / 4096: -4, -2, 0, 2; exp(4) = 54.59815
    scored("SIGMOID after rescale", "PS3.3 C.11.2.1.3.1", (0.01799, 0.11920, 0.5, 0.88080),
           bands=(0, 1024, 2048, 3072), VOILUTFunction="SIGMOID", WindowCenter="0", RescaleSlope="2",
           RescaleIntercept="-4096"),
    # x > 2047.5
    scored("LINEAR of width 1 is a step", "PS3.3 C.11.2.1.2.1", (0.0, 0.0, 1.0, 1.0), bands=(0, 2047, 2048, 4095),
           WindowWidth="1"),
    scored("of two windows the first", "PS3.3 C.11.2.1.2", THIRDS, WindowCenter=["2048", "40"],
           WindowWidth=["4096", "80"]),
    # Unusable windows count as none: the percentiles of four equal bands are the outer bands.
    scored("width 0", "PS3.3 C.11.2.1.2.1 wants 1 or more", THIRDS, WindowWidth="0"),
    scored("negative width", "PS3.3 C.11.2.1.2.1 wants 1 or more", THIRDS, WindowWidth="-4096"),
    scored("center that is no number", "PS3.5 6.2", THIRDS, WindowCenter=DataElement(0x00281050, "LO", "NaN")),
    scored("unknown VOI LUT function", "(0028,1056)", THIRDS, VOILUTFunction="CUBIC", WindowWidth="7"),
    scored("width without center", "PS3.3 C.11.2: both or none", THIRDS, WindowCenter=None, WindowWidth="7"),
    scored("no VOI: 0.5 to 99.5 percentile", "DESIGN §4", THIRDS, **NO_VOI),
    # 64 / 255 = 0.25098, 191 / 255 = 0.74902
    scored("VOI LUT, 8-bit entries in words", "PS3.3 C.11.2.1.1", (0.0, 0.25098, 0.74902, 1.0), bands=(0, 1, 2, 3),
           VOILUTSequence=lut(0, 8, 0, 64, 191, 255), **NO_VOI),
    scored("VOI LUT, 8-bit entries packed", "PS3.3 C.11.1.1 LUT Data", (0.0, 0.25098, 0.74902, 1.0),
           bands=(0, 1, 2, 3), VOILUTSequence=lut(0, 8, 0, 64, 191, 255, packed=True), **NO_VOI),
    # 32768 / 65535 = 0.50001; below the first input the first entry, above the last input the last entry
    scored("VOI LUT that begins at 100", "PS3.3 C.11.2.1.1", (0.0, 0.0, 0.50001, 1.0), bands=(0, 100, 101, 4095),
           VOILUTSequence=lut(100, 16, 0, 32768, 65535), **NO_VOI),
    scored("VOI LUT that begins below zero", "PS3.3 C.11.1.1: signed first input", (0.0, 0.25098, 0.74902, 1.0),
           bands=(-2, -1, 0, 1), dtype=np.int16, BitsStored=16, HighBit=15,
           VOILUTSequence=lut(-2, 8, 0, 64, 191, 255), **NO_VOI),
    scored("VOI LUT outweighs the window", "PS3.3 C.11.2: alternatives", (0.0, 0.25098, 0.74902, 1.0),
           bands=(0, 1, 2, 3), VOILUTSequence=lut(0, 8, 0, 64, 191, 255)),
    # The whole 16-bit range, shown upside down: entry i = 65535 - i
    scored("VOI LUT of 65536 entries", "PS3.3 C.11.1.1: written as 0", THIRDS_INVERTED,
           bands=(0, 21845, 43690, 65535), BitsStored=16, HighBit=15,
           VOILUTSequence=lut(0, 16, *range(65535, -1, -1), count=0), **NO_VOI),
    scored("VOI LUT and MONOCHROME1", "PS3.3 C.7.6.3.1.2", (1.0, 0.74902, 0.25098, 0.0), bands=(0, 1, 2, 3),
           VOILUTSequence=lut(0, 8, 0, 64, 191, 255), PhotometricInterpretation="MONOCHROME1", **NO_VOI),
    # 0, 2, 1, 3 after the modality LUT
    scored("modality LUT, then VOI LUT", "PS3.3 C.11", (0.0, 0.74902, 0.25098, 1.0), bands=(0, 1, 2, 3),
           ModalityLUTSequence=lut(0, 16, 0, 2, 1, 3), VOILUTSequence=lut(0, 8, 0, 64, 191, 255), **NO_VOI),
    # 2 x + 1 is 1, 3, 5, 7: entries 1, 3, 5, 7 of eight
    scored("rescale, then VOI LUT", "PS3.3 C.11", (10 / 255, 30 / 255, 50 / 255, 70 / 255), bands=(0, 1, 2, 3),
           RescaleSlope="2", RescaleIntercept="1", VOILUTSequence=lut(0, 8, 0, 10, 20, 30, 40, 50, 60, 70), **NO_VOI),
    refused("LUT data shorter than its descriptor says", "PS3.3 C.11.1.1", Reason.DECODE_ERROR,
            VOILUTSequence=lut(0, 16, 1, 2, 3, count=9)),
    refused("window that shows none of the film", "PS3.3 C.11.2.1.2", Reason.BLANK, WindowCenter="90000",
            WindowWidth="100"),
)  # fmt: skip

PADDING = (
    # Percentiles of the other three bands: 1000 and 3000
    scored("padding without VOI", "PS3.3 C.7.5.1.1.2", (0.0, 0.0, 0.5, 1.0), bands=(0, 1000, 2000, 3000),
           PixelPaddingValue=0, **NO_VOI),
    scored("white padding becomes black", "PS3.3 C.7.5.1.1.2", (0.0, 0.0, 0.5, 1.0), bands=(4095, 1000, 2000, 3000),
           PixelPaddingValue=4095, **NO_VOI),
    scored("padding of MONOCHROME1 becomes black", "PS3.3 C.7.5.1.1.2", (0.0, 1.0, 0.5, 0.0),
           bands=(0, 1000, 2000, 3000), PixelPaddingValue=0, PhotometricInterpretation="MONOCHROME1", **NO_VOI),
    scored("padding range", "(0028,0121)", (0.0, 1.0, 0.0, 0.0), bands=(1000, 2000, 3950, 4095),
           PixelPaddingValue=4095, PixelPaddingRangeLimit=3900, **NO_VOI),
    scored("padding range, ends the other way round", "(0028,0121)", (0.0, 1.0, 0.0, 0.0),
           bands=(1000, 2000, 3950, 4095), PixelPaddingValue=3900, PixelPaddingRangeLimit=4095, **NO_VOI),
    scored("signed padding", "(0028,0120) has the sign of the pixels", (0.0, 0.0, 0.5, 1.0),
           bands=(-2000, 0, 1000, 2000), dtype=np.int16, BitsStored=16, HighBit=15, PixelPaddingValue=-2000, **NO_VOI),
    # The window alone would show 0 white under MONOCHROME1.
    scored("padding outside of the window's say", "PS3.3 C.7.5.1.1.2", (0.0, 2 / 3, 1 / 3, 0.0),
           PixelPaddingValue=0, PhotometricInterpretation="MONOCHROME1"),
    scored("padding under SIGMOID", "PS3.3 C.7.5.1.1.2", (0.0, 0.26894, 0.5, 0.73106), bands=(0, 1024, 2048, 3072),
           PixelPaddingValue=0, VOILUTFunction="SIGMOID"),
    # PS3.3 C.11.2.1.2.1: black at 2047.5 - 10000 = -7952.5, white at 12047.5: (1000 + 7952.5) / 20000 = 0.447625
    scored("padding, black below what pixels can store", "PS3.3 C.7.5.1.1.2", (0.0, 0.447625, 0.497625, 0.547625),
           bands=(0, 1000, 2000, 3000), PixelPaddingValue=0, WindowCenter="2048", WindowWidth="20001"),
    # Shown black at 127.5 + 500 = 627.5, white at -372.5: (627.5 - 85) / 1000 = 0.5425
    scored("padding of MONOCHROME1, black above what pixels can store", "PS3.3 C.7.5.1.1.2",
           (0.0, 0.5425, 0.4575, 0.3725), PixelPaddingValue=0, PhotometricInterpretation="MONOCHROME1",
           WindowCenter="128", WindowWidth="1001", **EIGHT_BITS),
    refused("nothing but padding", "PS3.3 C.7.5.1.1.2", Reason.BLANK, bands=(7, 7, 7, 7), PixelPaddingValue=7),
    refused("constant beside its padding", "PS3.3 C.7.5.1.1.2: padding is no contrast", Reason.BLANK,
            bands=(0, 2000, 2000, 2000), PixelPaddingValue=0),
    # (3000 - 1000) / 200000 = 0.01 of the range
    refused("window far wider than the film beside its padding", "PS3.3 C.7.5.1.1.2", Reason.BLANK,
            bands=(0, 1000, 2000, 3000), PixelPaddingValue=0, WindowCenter="2048", WindowWidth="200001"),
)  # fmt: skip

SHAPE = (
    scored("pixels twice as high as wide", "(0028,0030) row spacing first", THIRDS, PixelSpacing=["0.2", "0.1"],
           pixel_aspect=2.0),
    scored("spacing at the detector", "(0018,1164)", THIRDS, ImagerPixelSpacing=["0.1", "0.2"], pixel_aspect=0.5),
    scored("aspect ratio", "(0028,0034) vertical, horizontal", THIRDS, PixelAspectRatio=["3", "4"], pixel_aspect=0.75),
    scored("spacing of zero says nothing", "(0028,0030)", THIRDS, PixelSpacing=["0", "0"]),
    refused("63 rows", "RELIABILITY §4", Reason.TOO_SMALL, Rows=63),
    refused("6001 columns", "RELIABILITY §4", Reason.TOO_LARGE, Columns=6001),
    refused("more than 25 megapixels", "RELIABILITY §4: 5001 x 5001", Reason.TOO_LARGE, Rows=5001, Columns=5001),
    refused("2.6 times as wide as high", "brief: 1:2.5", Reason.ASPECT, Columns=167),
    refused("square film of flat pixels", "(0028,0030): 64 x 0.1 by 64 x 0.3", Reason.ASPECT,
            PixelSpacing=["0.1", "0.3"]),
    refused("two frames", "(0028,0008)", Reason.MULTI_FRAME, NumberOfFrames=2),
    refused("no frame", "(0028,0008)", Reason.MULTI_FRAME, NumberOfFrames=0),
    refused("no Pixel Data", "(7FE0,0010)", Reason.NO_PIXEL_DATA, PixelData=None),
    refused("fewer pixels than Rows by Columns", "PS3.5 8.1.1", Reason.DECODE_ERROR, Rows=65),
    refused("more pixels than Rows by Columns", "PS3.5 8.1.1", Reason.DECODE_ERROR, Rows=64, Columns=80),
    refused("compressed frame of another size", "PS3.5 8.2", Reason.DECODE_ERROR, Rows=70,
            transfer_syntax=films.JPEG_LS),
    refused("no Rows", "(0028,0010) is type 1", Reason.DECODE_ERROR, Rows=None),
    refused("constant film", "DESIGN §6", Reason.BLANK, bands=(9, 9, 9, 9), **NO_VOI),
    # 30 / 4095 = 0.7 % of the window's range
    refused("film without contrast", "DESIGN §6", Reason.BLANK, bands=(2000, 2010, 2020, 2030)),
)  # fmt: skip

KIND = (
    scored("DX for presentation", "PS3.4 B.5", THIRDS, SOPClassUID=films.DX_STORAGE, Modality="DX",
           PresentationIntentType="FOR PRESENTATION"),
    refused("DX for processing by class", "PS3.4 B.5", Reason.FOR_PROCESSING, SOPClassUID=films.DX_PROCESSING_STORAGE,
            Modality="DX"),
    refused("DX for processing by intent", "(0008,0068)", Reason.FOR_PROCESSING, SOPClassUID=films.DX_STORAGE,
            Modality="DX", PresentationIntentType="FOR PROCESSING"),
    refused("CT", "(0008,0016)", Reason.SOP_CLASS, SOPClassUID=films.CT_STORAGE, Modality="CT"),
    refused("secondary capture", "(0008,0016)", Reason.SOP_CLASS, SOPClassUID=films.SECONDARY_CAPTURE),
    refused("fluoroscopy in a CR object", "(0008,0060)", Reason.MODALITY, Modality="RF"),
    refused("no modality", "(0008,0060) is type 1", Reason.MODALITY, Modality=None),
    refused("phantom", "(0028,0300)", Reason.QUALITY_CONTROL, QualityControlImage="YES"),
    refused("phantom beside a patient", "(0028,0300) BOTH", Reason.QUALITY_CONTROL, QualityControlImage="BOTH"),
    scored("no phantom", "(0028,0300)", THIRDS, QualityControlImage="NO"),
    refused("derived", "PS3.3 C.7.6.1.1.2, value 1", Reason.DERIVED, ImageType=["DERIVED", "SECONDARY"]),
    refused("derived and nothing else", "PS3.3 C.7.6.1.1.2, value 1", Reason.DERIVED, ImageType=["DERIVED"]),
    scored("derived from its own raw image", "PS3.3 C.7.6.1.1.5", THIRDS, ImageType=["DERIVED", "PRIMARY"]),
    refused("secondary", "PS3.3 C.7.6.1.1.2, value 2", Reason.DERIVED, ImageType=["ORIGINAL", "SECONDARY"]),
    scored("third value of Image Type", "PS3.3 C.7.6.1.1.2", THIRDS, ImageType=["ORIGINAL", "PRIMARY", "DERIVED"]),
    scored("no Image Type", "(0008,0008) is type 3 in CR", THIRDS, ImageType=None),
)  # fmt: skip

ANATOMY = (
    scored("THORAX", "(0018,0015)", THIRDS, BodyPartExamined="THORAX"),
    scored("lower case with blanks", "(0018,0015)", THIRDS, BodyPartExamined=" chest "),
    scored("body part empty", "PROTOCOLS §3: go on to the pixels", THIRDS, BodyPartExamined=""),
    scored("body part absent", "PROTOCOLS §3", THIRDS, BodyPartExamined=None),
    scored("anatomic region thorax", "(0008,2218), SCT 51185008", THIRDS, AnatomicRegionSequence=code("51185008")),
    refused("ABDOMEN", "(0018,0015)", Reason.BODY_PART, BodyPartExamined="ABDOMEN"),
    refused("chest and abdomen", "(0018,0015)", Reason.BODY_PART, BodyPartExamined="CHEST\\ABDOMEN"),
    refused("anatomic region knee", "(0008,2218)", Reason.BODY_PART, AnatomicRegionSequence=code("72696002")),
    scored("AP", "(0018,5101)", THIRDS, ViewPosition="AP"),
    scored("view absent", "PROTOCOLS §3: view from pixels", THIRDS, ViewPosition=None),
    scored("view code postero-anterior", "(0054,0220), CID 4010", THIRDS, ViewPosition=None,
           ViewCodeSequence=code("272479007")),
    scored("view code antero-posterior, SRT", "(0054,0220), CID 4010", THIRDS, ViewPosition=None,
           ViewCodeSequence=code("R-10206", "SRT")),
    refused("left lateral", "(0018,5101)", Reason.VIEW, ViewPosition="LL"),
    refused("right lateral", "(0018,5101)", Reason.VIEW, ViewPosition="RL"),
    refused("oblique", "(0018,5101)", Reason.VIEW, ViewPosition="LAO"),
    refused("view code left lateral", "(0054,0220), CID 4010", Reason.VIEW, ViewCodeSequence=code("399173006")),
    scored("rows to the left, columns to the feet", "(0020,0020)", THIRDS, PatientOrientation=["L", "F"]),
    scored("orientation empty", "(0020,0020) is type 2C", THIRDS, PatientOrientation=""),
    refused("lateral by orientation", "(0020,0020) A\\F", Reason.VIEW, PatientOrientation=["A", "F"]),
    refused("other lateral by orientation", "(0020,0020) P\\F", Reason.VIEW, PatientOrientation=["P", "F"]),
    refused("upside down", "(0020,0020) L\\H", Reason.VIEW, PatientOrientation=["L", "H"]),
    refused("mirrored", "(0020,0020) R\\F", Reason.VIEW, PatientOrientation=["R", "F"]),
)  # fmt: skip

AGE_REQUIRED = GateSpec(is_age_required=True)
AGE = (
    scored("18 years", "(0010,1010)", THIRDS, PatientAge="018Y"),
    scored("216 months are 18 years", "(0010,1010)", THIRDS, PatientAge="216M"),
    # 940 x 7 / 365.25 = 18.02
    scored("940 weeks", "(0010,1010)", THIRDS, PatientAge="940W"),
    scored("no age where none is demanded", "DESIGN §6", THIRDS, PatientAge=None),
    scored("age where one is demanded", "DESIGN §6", THIRDS, spec=AGE_REQUIRED),
    # 1970-06-01 to 2026-01-01: 55.6 years
    scored("age from dates", "(0010,0030), (0008,0020)", THIRDS, PatientAge=None, PatientBirthDate="19700601",
           spec=AGE_REQUIRED),
    # 44.0 by the dates, 45 as stated
    scored("age and dates one year apart", "PROTOCOLS §3", THIRDS, PatientBirthDate="19820101"),
    scored("a younger minimum", "site's policy", THIRDS, PatientAge="016Y", spec=GateSpec(minimum_age_years=16)),
    refused("17 years", "(0010,1010)", Reason.AGE, PatientAge="017Y"),
    refused("newborn", "(0010,1010)", Reason.AGE, PatientAge="003D"),
    # 930 x 7 / 365.25 = 17.82
    refused("930 weeks", "(0010,1010)", Reason.AGE, PatientAge="930W"),
    # 2010-01-01 to 2026-01-01
    refused("sixteen by dates", "(0010,0030), (0008,0020)", Reason.AGE, PatientAge=None, PatientBirthDate="20100101"),
    refused("no age where one is demanded", "DESIGN §6", Reason.AGE_UNKNOWN, PatientAge=None, spec=AGE_REQUIRED),
    refused("121 years", "PROTOCOLS §3", Reason.AGE_UNKNOWN, PatientAge="121Y"),
    # 16.0 by the dates, 45 as stated
    refused("age and dates clash", "PROTOCOLS §3", Reason.AGE_UNKNOWN, PatientBirthDate="20100101"),
    refused("born after the examination", "(0010,0030)", Reason.AGE_UNKNOWN, PatientAge=None,
            PatientBirthDate="20270101"),
    refused("age without a unit", "PS3.5 6.2, AS", Reason.AGE_UNKNOWN, PatientAge="45"),
)  # fmt: skip

CASES = (
    *SYNTAXES,
    *BITS,
    *PHOTOMETRIC,
    *MODALITY_TRANSFORM,
    *VOI_TRANSFORM,
    *PADDING,
    *SHAPE,
    *KIND,
    *ANATOMY,
    *AGE,
)
