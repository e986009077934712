"""Turns the text of a data set into Unicode, strictly: what cannot be told is refused, never replaced.

Uses pydicom's tables of character sets (PS3.3 C.12.1.1.2) and the codecs that it registers. Its own decoder puts
replacement characters into a name that it cannot read, and a name with a hole may be another patient's; to make it
strict one would have to change a setting of the whole process. Must not know what any attribute means.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from pydicom.charset import CODES_TO_ENCODINGS, STAND_ALONE_ENCODINGS, default_encoding, python_encoding

from model.decoding.source import corrupt

_ESCAPE: Final = b"\x1b"
# What resets a code extension: the separators of values, of a name's components and groups, and the end of a line
# (PS3.5 6.1.2.5.3).
_DELIMITERS: Final = frozenset(b"\\^=\r\n\t\f")
# Python's own codecs of these read the escape sequences themselves.
_READ_ESCAPES: Final = frozenset({"iso2022_jp", "iso2022_jp_2"})
_FRAGMENTS: Final = re.compile(rb"^[^\x1b]+|\x1b[^\x1b]*")
# Writers put hyphens and underscores where the defined terms have spaces.
_SINGLE_BYTE_TERM: Final = re.compile(r"ISO[-_ ]?IR[-_ ](\d+)")
_EXTENSION_TERM: Final = re.compile(r"ISO[-_ ]2022[-_ ]IR[-_ ](\d+)")


def encodings_of(terms: Sequence[str]) -> tuple[str, ...]:
    """Return Python's names of what (0008,0005) Specific Character Set lists; empty where one of them is unknown."""
    named = [_defined_term(term) for term in terms] or [""]
    if named[0] in STAND_ALONE_ENCODINGS:
        named = named[:1]
    elif len(named) > 1:
        named = [term for term in named if term not in STAND_ALONE_ENCODINGS]
    if any(term not in python_encoding for term in named):
        return ()
    return tuple(python_encoding[term] for term in named)


def decode_text(value: bytes, encodings: Sequence[str]) -> str:
    """Return a value as text; plain ASCII means the same in all of these character sets.

    Raises
    ------
    CorruptImage
        If it has other characters and their set is unknown, or they are none of it.
    """
    if value.isascii() and _ESCAPE not in value:
        return value.decode("ascii")
    if not encodings:
        raise corrupt("a text is in a character set that DICOM does not define")
    try:
        return "".join(_decode_fragment(fragment, encodings) for fragment in _FRAGMENTS.findall(value))
    except UnicodeError:
        raise corrupt("a text is not in the character set that the file names") from None


def _defined_term(term: str) -> str:
    if match := _EXTENSION_TERM.fullmatch(term):
        return f"ISO 2022 IR {match[1]}"
    if match := _SINGLE_BYTE_TERM.fullmatch(term):
        return f"ISO_IR {match[1]}"
    return term


def _decode_fragment(fragment: bytes, encodings: Sequence[str]) -> str:
    """Decode what lies between two escape sequences, or before the first (PS3.5 6.1.2.5)."""
    if not fragment.startswith(_ESCAPE):
        return fragment.decode(encodings[0])
    length = 4 if fragment.startswith((b"\x1b$(", b"\x1b$)")) else 3
    encoding = CODES_TO_ENCODINGS.get(fragment[:length])
    if encoding is None or encoding not in {*encodings, default_encoding}:
        raise corrupt("a text changes to a character set that the file does not name")
    if encoding in _READ_ESCAPES:
        return fragment.decode(encoding)
    rest = fragment[length:]
    cut = next((place for place, byte in enumerate(rest) if byte in _DELIMITERS), len(rest))
    return rest[:cut].decode(encoding) + rest[cut:].decode(encodings[0])
