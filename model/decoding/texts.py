"""Top-level values of a data set as legal Unicode text. ``source_attributes`` asks by tag what a result repeats.

Two kinds of asking. ``verbatim`` and ``name`` are for what says *whose* film it is: a legal value as it is, or the file
is refused, because a shortened identifier is another patient's. All others give ``None`` where a value is not legal.
Must not know which attribute is which.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import Final

from model.decoding.character_sets import decode_text
from model.decoding.dicom_attributes import parse_uid
from model.decoding.source import corrupt
from model.errors import CorruptImage

# PS3.5 6.2: a person's name has up to three groups: alphabetic, ideographic, phonetic.
_LONGEST_NAME_GROUP: Final = 64
_NAME_GROUPS: Final = 3


@dataclass(frozen=True)
class Texts:
    """The values of one file by tag, as bytes, and Python's names of its character sets."""

    values: dict[int, bytes]
    encodings: tuple[str, ...]

    def verbatim(self, tag: int, longest: int) -> str:
        """Return a text of one value as it is, without padding; empty where absent.

        Raises
        ------
        CorruptImage
            If it is longer than ``longest`` characters, has several values or control characters, or cannot be read.
        """
        value = self.values.get(tag, b"").rstrip(b"\0 ")
        text = decode_text(value, self.encodings).strip(" ")
        if len(text) > longest or "\\" in text or any(unicodedata.category(character) == "Cc" for character in text):
            raise corrupt(f"({tag >> 16:04X},{tag & 0xFFFF:04X}) is not a legal value")
        return text

    def name(self, tag: int) -> str:
        """Return a person's name (PS3.5 6.2.1) as it is; raise ``CorruptImage`` as ``verbatim``."""
        text = self.verbatim(tag, _NAME_GROUPS * (_LONGEST_NAME_GROUP + 1))
        groups = text.split("=")
        if len(groups) > _NAME_GROUPS or any(len(group) > _LONGEST_NAME_GROUP for group in groups):
            raise corrupt(f"({tag >> 16:04X},{tag & 0xFFFF:04X}) is not a legal name")
        return text

    def optional(self, tag: int, longest: int) -> str | None:
        """Return a text of one value, or ``None`` where it is absent or not legal."""
        try:
            return self.verbatim(tag, longest) or None
        except CorruptImage:
            return None

    def optional_name(self, tag: int) -> str | None:
        """Return a person's name, or ``None`` where it is absent or not legal."""
        try:
            return self.name(tag) or None
        except CorruptImage:
            return None

    def matching(self, tag: int, pattern: re.Pattern[str]) -> str | None:
        """Return the groups of a value that matches, put together; ``None`` where it does not.

        What stands between groups is what older editions wrote there: dots in dates, colons in times.
        """
        match = pattern.fullmatch(self._ascii(tag))
        return "".join(part or "" for part in match.groups()) if match else None

    def several(self, tag: int, pattern: re.Pattern[str], *, least: int = 1, most: int) -> tuple[str, ...]:
        """Return the values of an element if there are so many and all of them match, else none."""
        parts = tuple(part.strip() for part in self._ascii(tag).split("\\"))
        return parts if least <= len(parts) <= most and all(pattern.fullmatch(part) for part in parts) else ()

    def uid(self, tag: int, *, otherwise: str | None = None) -> str:
        """Return a UID, or ``otherwise`` where it is absent; raise ``CorruptImage`` where there is none (PS3.5 9.1)."""
        uid = parse_uid(self.values.get(tag, b"")) or otherwise
        if uid is None:
            raise corrupt(f"({tag >> 16:04X},{tag & 0xFFFF:04X}) is missing")
        return uid

    def _ascii(self, tag: int) -> str:
        return self.values.get(tag, b"").decode("latin-1").strip("\0 ")
