"""UIDs of the objects we make: functions of what they speak of, so that to send one twice is to send one.

``2.25.<n>`` as PS3.5 B.2 has it, from a digest in the place of a random number. Stable over processes, machines and
versions: a changed derivation would double every object at every target. Knows no DICOM library.
"""

from __future__ import annotations

import hashlib
import uuid
from enum import StrEnum
from typing import Final

# Part of every digest, so that no other use of the same ids meets ours.
_NAMESPACE: Final = "cxr-triage"


class ResultKind(StrEnum):
    """What we make of a film; each has a series of its own in the film's study."""

    REPORT = "report"
    OVERLAY = "overlay"
    REJECTION = "rejection"


def result_uid(kind: ResultKind, film_id: str, model_digest: str, commit: int) -> str:
    """Return the SOPInstanceUID of an object.

    Parameters
    ----------
    model_digest
        sha256 of the bundle that looked at the film; empty where none did.
    commit
        Which of the film's decisions it is, from 1.
    """
    return _uid("instance", kind, film_id, model_digest, str(commit))


def series_uid(kind: ResultKind, film_id: str) -> str:
    """Return the SeriesInstanceUID of a film's objects of one kind."""
    return _uid("series", kind, film_id)


def tracking_uid(film_id: str) -> str:
    """Return the Tracking Unique Identifier of a film's assessment, the same in each of its reports."""
    return _uid("tracking", film_id)


def device_uid(model_digest: str) -> str:
    """Return the UID of the device observer: this service with one model; an empty digest is the service alone."""
    return _uid("device", model_digest)


def _uid(*parts: str) -> str:
    digest = hashlib.sha256("|".join((_NAMESPACE, *parts)).encode()).digest()
    # Version and variant bits as in a UUID (PS3.5 B.2), so that nothing that checks them stumbles.
    return f"2.25.{uuid.UUID(bytes=digest[:16], version=4).int}"
