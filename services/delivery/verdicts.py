"""What became of one attempt, in the few words that decide what follows. Knows neither protocols nor the outbox."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeAlias

# Processing failure, not authorised, out of resources: about the target or its configuration, which somebody mends. The
# same numbers are statuses of C-STORE (PS3.7 Annex C, PS3.4 B.2.3) and failure reasons of STOW-RS (PS3.18 10.5.3.2).
PASSING_STATUSES: Final = frozenset({0x0110, 0x0124, *range(0xA700, 0xA800)})


@dataclass(frozen=True, kw_only=True)
class Delivered:
    """The target has it, now or since an earlier attempt."""


@dataclass(frozen=True, kw_only=True)
class Refused:
    """The target will never take this one; a repeat would be refused again. Says nothing against the target.

    ``reason`` is a short code of ours, never a word of the target's.
    """

    reason: str


@dataclass(frozen=True, kw_only=True)
class Failed:
    """The target is away, busy, broken or misconfigured; it may take the same object later.

    ``wait_seconds`` is how long the target asked for, where it did (Retry-After).
    """

    reason: str
    wait_seconds: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Gone:
    """The target wants nothing any more (HTTP 410): it is disabled until an operator enables it."""


@dataclass(frozen=True, kw_only=True)
class Unbuilt:
    """We could not make the objects now (the spool is away, say). Says nothing of the target."""

    reason: str


@dataclass(frozen=True, kw_only=True)
class Unbuildable:
    """We can make no objects of this one, neither now nor later. Says nothing of the target, which was not asked."""

    reason: str


@dataclass(frozen=True, kw_only=True)
class NothingToSend:
    """The target is owed nothing for this decision: another site's, filtered out, or no DICOM film."""


Verdict: TypeAlias = Delivered | Refused | Failed | Gone
Outcome: TypeAlias = Verdict | Unbuilt | Unbuildable | NothingToSend
