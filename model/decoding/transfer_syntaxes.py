"""The transfer syntaxes that are judged, by the codec they need (DESIGN §6, PS3.6 annex A)."""

from __future__ import annotations

from typing import Final

# DESIGN §6: what is judged. Nothing else is read beyond the meta information, deflated data least of all (a bomb).
IMPLICIT_VR: Final = "1.2.840.10008.1.2"
EXPLICIT_VR: Final = "1.2.840.10008.1.2.1"
RLE: Final = "1.2.840.10008.1.2.5"
JPEG: Final = frozenset(f"1.2.840.10008.1.2.4.{number}" for number in (50, 51, 57, 70))
JPEG_LS: Final = frozenset(f"1.2.840.10008.1.2.4.{number}" for number in (80, 81))
JPEG_2000: Final = frozenset(f"1.2.840.10008.1.2.4.{number}" for number in (90, 91))
HTJ2K: Final = frozenset(f"1.2.840.10008.1.2.4.{number}" for number in (201, 202, 203))
# These may lose something; .50 and .51 always do.
LOSSY: Final = frozenset(f"1.2.840.10008.1.2.4.{number}" for number in (50, 51, 81, 91, 203))
NATIVE: Final = frozenset({IMPLICIT_VR, EXPLICIT_VR})
JUDGED_TRANSFER_SYNTAXES: Final = NATIVE | {RLE} | JPEG | JPEG_LS | JPEG_2000 | HTJ2K
