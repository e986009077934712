"""What is written down, and the form of an entry: one line of JSON that names the line before it.

Owns the words and bytes of the trail. Must not know files, Redis or threads. Holds no patient data: ids, DICOM UIDs
and codes of ours.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final

# What the first entry of a chain names as its predecessor.
NOTHING_BEFORE: Final = "0" * 64
_HASH_MARK: Final = b',"hash":"'
_HASH_TAIL_BYTES: Final = len(_HASH_MARK) + 64 + len(b'"}')


class AuditEvent(StrEnum):
    """What happened; the numbers are DICOM's audit event types (PS3.16 CID 400), where it has one."""

    STARTED = "started"  # 110100 Application Activity: a gateway or worker began
    STOPPED = "stopped"  # 110100 Application Activity: it ended in good order
    ACCEPTED = "accepted"  # 110104 DICOM Instances Transferred: a film came in and is durable
    REVISED = "revised"  # 110113 Security Alert: an object came again as another film, under the UID of the one before
    ACCESSED = "accessed"  # 110103 DICOM Instances Accessed: somebody looked at a film's pictures, record or study
    SIGNED_IN = "signed_in"  # 110114 User Authentication: a page session began
    SIGNED_OUT = "signed_out"  # 110114 User Authentication
    SIGN_IN_FAILED = "sign_in_failed"  # 110114 User Authentication: no valid key
    REFUSED = "refused"  # 110113 Security Alert: a valid key asked for what it may not have
    ALERT = "alert"  # 110113 Security Alert: bytes that changed in the spool, and the like
    FINISHED = "finished"  # 110105 DICOM Study Used: a film got its outcome; holds what restores the record
    RESCORED = "rescored"  # 110105: an admin had a film scored again
    WITHDRAWN = "withdrawn"  # 110105: somebody took a film back, by an order or by a rejection note
    REJECTED = "rejected"  # 110104: a rejection note came in; `code` is its title, `objects` are what it names
    REQUEUED = "requeued"  # 110105: an operator gave a film that we failed another chance
    SENT = "sent"  # 110106 Export: what was decided of a film went to a target, and the target took it
    RESENT = "resent"  # 110106 Export: an operator has results sent again that a target did not take; `count` of them
    TARGET_ENABLED = "target_enabled"  # 110100: an operator has a target served again that wanted nothing any more
    TARGET_FORGOTTEN = "target_forgotten"  # 110100: an operator dropped what a target was owed, which is served no more
    BUNDLE_ACTIVATED = "bundle_activated"  # 110100: from now on another bundle scores
    BUNDLE_REFUSED = "bundle_refused"  # 110113: a candidate failed its checks
    POLICY_CHANGED = "policy_changed"  # 110100: another threshold decides a site's films; `policy` is what restores it
    ASSESSED = "assessed"  # 110105: a reader said what a study shows; `assessment` and `standing` are what restores it
    KEY_CREATED = "key_created"  # 110137 User Security Attributes Changed
    KEY_REVOKED = "key_revoked"  # 110137
    RESTORED = "restored"  # 110100: results were rebuilt from the trail
    CHAIN_RETIRED = "chain_retired"  # 110101 Audit Log Used: an old file was removed after its retention
    EVENTS_LOST = "events_lost"  # 110113: the disk did not take entries for too long; how many were dropped


# DICOM's audit event types, PS3.16 CID 400.
DICOM_EVENTS: Final[Mapping[AuditEvent, str]] = {
    AuditEvent.STARTED: "110100",
    AuditEvent.STOPPED: "110100",
    AuditEvent.ACCEPTED: "110104",
    AuditEvent.REVISED: "110113",
    AuditEvent.ACCESSED: "110103",
    AuditEvent.SIGNED_IN: "110114",
    AuditEvent.SIGNED_OUT: "110114",
    AuditEvent.SIGN_IN_FAILED: "110114",
    AuditEvent.REFUSED: "110113",
    AuditEvent.ALERT: "110113",
    AuditEvent.FINISHED: "110105",
    AuditEvent.RESCORED: "110105",
    AuditEvent.WITHDRAWN: "110105",
    AuditEvent.REJECTED: "110104",
    AuditEvent.REQUEUED: "110105",
    AuditEvent.SENT: "110106",
    AuditEvent.RESENT: "110106",
    AuditEvent.TARGET_ENABLED: "110100",
    AuditEvent.TARGET_FORGOTTEN: "110100",
    AuditEvent.BUNDLE_ACTIVATED: "110100",
    AuditEvent.BUNDLE_REFUSED: "110113",
    AuditEvent.POLICY_CHANGED: "110100",
    AuditEvent.ASSESSED: "110105",
    AuditEvent.KEY_CREATED: "110137",
    AuditEvent.KEY_REVOKED: "110137",
    AuditEvent.RESTORED: "110100",
    AuditEvent.CHAIN_RETIRED: "110101",
    AuditEvent.EVENTS_LOST: "110113",
}


def utc_now() -> datetime:
    """Return the time as an entry tells it."""
    return datetime.now(UTC)


@dataclass(frozen=True, kw_only=True)
class Note:
    """An entry that has no place in a chain yet.

    Attributes
    ----------
    facts
        What the event says of itself in the words of the trail (``who``, ``film`` …); ``None`` values are left out.
    """

    event: AuditEvent
    is_success: bool = True
    time: datetime = field(default_factory=utc_now)
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Head:
    """The last entry of a chain: its number and the sha256 of its line, by which a cut tail is noticed."""

    seq: int
    digest: str

    def __str__(self) -> str:
        return f"{self.seq}:{self.digest}"

    @classmethod
    def read(cls, text: str) -> Head:
        """Return what ``str`` wrote; raise ``ValueError`` on anything else."""
        seq, _, digest = text.partition(":")
        if len(digest) != len(NOTHING_BEFORE):
            raise ValueError("not the head of a chain")
        return cls(seq=int(seq), digest=digest)


EMPTY: Final = Head(seq=0, digest=NOTHING_BEFORE)


def line_of(note: Note, *, service: str, after: Head) -> bytes:
    """Return the note as the line that follows ``after``, without its newline.

    ``previous`` is the sha256 of the line before. ``hash``, the last field, is that of this line up to its own comma,
    so that a line by itself can be told whole from changed.
    """
    entry: dict[str, Any] = {
        "seq": after.seq + 1,
        "time": note.time.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "service": service,
        "event": note.event,
        "dicom": DICOM_EVENTS[note.event],
        "success": note.is_success,
    }
    entry |= {name: value for name, value in note.facts.items() if value is not None}
    entry["previous"] = after.digest
    body = json.dumps(entry, separators=(",", ":")).encode()[:-1]
    return body + _HASH_MARK + hashlib.sha256(body).hexdigest().encode() + b'"}'


@dataclass(frozen=True, kw_only=True)
class Place:
    """What a line says of its place in the chain and of what it is about; the rest of it is not read."""

    seq: int
    previous: str
    event: str
    film_id: str | None


_LINE: Final = re.compile(
    rb'\{"seq":(\d{1,18}),"time":"[^"]*","service":"[^"]*","event":"([a-z_]+)","dicom":"\d+","success":(?:true|false)'
    rb'(?:,"film":"([0-9a-f]{32})")?.*,"previous":"([0-9a-f]{64})","hash":"[0-9a-f]{64}"\}',
    re.DOTALL,
)


def place_of(line: bytes) -> Place | None:
    """Return the place that a line claims; ``None`` where it has not the form that ``line_of`` gives it."""
    found = _LINE.fullmatch(line)
    if found is None:
        return None
    seq, event, film_id, previous = found.groups()
    return Place(
        seq=int(seq), previous=previous.decode(), event=event.decode(), film_id=film_id.decode() if film_id else None
    )


def time_ms_of(line: bytes) -> int:
    """Return when a line was written, in milliseconds since the epoch, by the clock of its host."""
    return int(datetime.fromisoformat(json.loads(line)["time"]).timestamp() * 1000)


def digest_of(line: bytes) -> str:
    """Return the sha256 by which the next entry names this line (without its newline)."""
    return hashlib.sha256(line).hexdigest()


def is_whole(line: bytes) -> bool:
    """Return whether a line's own ``hash`` is that of its bytes: neither torn nor edited by a careless hand."""
    body, tail = line[:-_HASH_TAIL_BYTES], line[-_HASH_TAIL_BYTES:]
    return tail == _HASH_MARK + hashlib.sha256(body).hexdigest().encode() + b'"}'
