"""One chain held against what it says of itself and what others vouch for: a line at a time, in bounded memory.

Must not know directories, Redis or what entries mean.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from services.jobs.ledger.entries import EMPTY, Head, Place, digest_of, is_whole, place_of

_LARGEST_GAP: Final = 1000  # of a larger one, lines that come late are called inserted


class Damage(StrEnum):
    """What was done to a chain."""

    EDITED = "edited"
    DELETED = "deleted"
    INSERTED = "inserted"
    REORDERED = "reordered"
    CUT_TAIL = "cut tail"
    MISSING_FILE = "missing file"
    UNREADABLE = "unreadable"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """Where the trail is not what was written; ``line`` 0 is the file itself."""

    file: str
    line: int
    damage: Damage
    detail: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.damage}: {self.detail}"


class ChainCheck:
    """Sees the lines of one chain in order; ``findings`` are complete after ``end``.

    ``witnesses`` are entries of this chain that Redis or other chains name: each must be there, byte for byte.
    """

    def __init__(self, file: str, witnesses: Collection[Head]) -> None:
        self._file = file
        self._witnesses = {(witness.seq, witness.digest) for witness in witnesses}
        self._vouched = {witness.seq for witness in witnesses}
        self._missing: dict[int, Finding] = {}
        self._last = EMPTY
        self._line = 0
        self._is_last_trusted = True
        self.findings: list[Finding] = []

    @property
    def entries(self) -> int:
        """How many lines were seen."""
        return self._line

    def see(self, line: bytes) -> Place | None:
        """Check the next line (without its newline); return its place where nothing speaks against it."""
        self._line += 1
        place = place_of(line)
        if place is None or not is_whole(line):
            self._add(Damage.EDITED, "this line is not what was written")
            # Its place is taken to be the next, or one edit would look like a deletion besides.
            self._last = Head(seq=self._last.seq + 1, digest=digest_of(line))
            self._vouched.discard(self._last.seq)
            self._is_last_trusted = False
            return None
        is_sound = self._check_order(place) and self._check_witness(place, line)
        if place.seq > self._last.seq:
            self._last, self._is_last_trusted = Head(seq=place.seq, digest=digest_of(line)), True
        return place if is_sound else None

    def end(self) -> None:
        """Note that the file has no more whole lines."""
        if any(seq > self._last.seq for seq in self._vouched):
            first, last = self._last.seq + 1, max(self._vouched)
            self._add(Damage.CUT_TAIL, f"entries {first} to {last} are gone", line=self._line + 1)
        self.findings.extend(dict.fromkeys(self._missing.values()))

    def _check_order(self, place: Place) -> bool:
        expected = self._last.seq + 1
        if place.seq > expected:
            gone = Finding(
                file=self._file,
                line=self._line,
                damage=Damage.DELETED,
                detail=f"before this line, entries {expected} to {place.seq - 1} are gone",
            )
            self._missing |= dict.fromkeys(range(expected, min(place.seq, expected + _LARGEST_GAP)), gone)
            return False
        if place.seq < expected:
            is_late = self._missing.pop(place.seq, None) is not None
            detail = f"entry {place.seq} stands behind entry {self._last.seq}"
            self._add(Damage.REORDERED if is_late else Damage.INSERTED, detail)
            return False
        if place.previous != self._last.digest and self._is_last_trusted:
            detail = "the line after this one was written behind another line"
            self._add(Damage.EDITED, detail, line=max(self._line - 1, 1))
            return False
        return True

    def _check_witness(self, place: Place, line: bytes) -> bool:
        if place.seq not in self._vouched:
            return True
        self._vouched.discard(place.seq)
        if (place.seq, digest_of(line)) in self._witnesses:
            return True
        self._add(Damage.EDITED, "Redis or another chain names another line here")
        return False

    def _add(self, damage: Damage, detail: str, *, line: int | None = None) -> None:
        at = self._line if line is None else line
        self.findings.append(Finding(file=self._file, line=at, damage=damage, detail=detail))
