"""What became of each instance of a STOW-RS request, and the answer that is made of it (PS3.18 10.5.3, Annex I).

Nothing here is HTTP but the status. Text of errors stays out of the body: Error Comment (0000,0902) is of commands.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

from model.decoding.header import Header
from model.errors import ImageError
from services.api.errors import ApiError, PayloadTooLarge
from services.dicom.codes import Failure, Status, failure_of
from services.dicom.errors import DicomError
from services.jobs.errors import JobsError

MEDIA_TYPE: Final = "application/dicom+json"

_SOP_CLASS_UID: Final = "00081150"
_SOP_INSTANCE_UID: Final = "00081155"
_RETRIEVE_URL: Final = "00081190"
_FAILURE_REASON: Final = "00081197"
_FAILED_SOP_SEQUENCE: Final = "00081198"
_REFERENCED_SOP_SEQUENCE: Final = "00081199"
_OTHER_FAILURES_SEQUENCE: Final = "0008119A"
# Type 2: there, and without a value, because nothing that was stored can be retrieved from here.
_NO_URL: Final[dict[str, Any]] = {_RETRIEVE_URL: {"vr": "UR"}}


# What one instance can fail with; each has a ``code``.
InstanceError = ApiError | DicomError | ImageError | JobsError


@dataclass(frozen=True, kw_only=True)
class Stored:
    """An instance that is durable, new or known before."""

    sop_class_uid: str
    sop_instance_uid: str


@dataclass(frozen=True, kw_only=True)
class Failed:
    """An instance that is not stored, or a rest of the body that was none; without UIDs where none could be read."""

    error: InstanceError
    sop_class_uid: str | None = None
    sop_instance_uid: str | None = None

    @classmethod
    def of(cls, error: InstanceError, header: Header) -> Failed:
        """Return the failure of an instance whose header was read."""
        return cls(error=error, sop_class_uid=header.sop_class_uid, sop_instance_uid=header.sop_instance_uid)

    @property
    def is_identified(self) -> bool:
        """Whether the answer can name the instance."""
        return self.sop_class_uid is not None and self.sop_instance_uid is not None

    @property
    def failure(self) -> Failure:
        """How the error is answered; of those that only HTTP knows, a body that is too large is no understanding."""
        if isinstance(self.error, PayloadTooLarge):
            return Failure(status=Status.OUT_OF_RESOURCES)
        if isinstance(self.error, ApiError):
            return Failure(status=Status.CANNOT_UNDERSTAND)
        return failure_of(self.error)


Outcome = Stored | Failed


def status_of(outcomes: Sequence[Outcome]) -> HTTPStatus:
    """Return the status of Table 10.5.3-1 for what became of at least one instance.

    Nothing stored, and something that could be taken later: 503, because only that is sent again. Repeating the rest
    with it is harmless.
    """
    failed = [outcome for outcome in outcomes if isinstance(outcome, Failed)]
    if len(failed) < len(outcomes):
        return HTTPStatus.ACCEPTED if failed else HTTPStatus.OK
    if any(outcome.failure.is_temporary for outcome in failed):
        return HTTPStatus.SERVICE_UNAVAILABLE
    return HTTPStatus.CONFLICT


def body_of(outcomes: Sequence[Outcome]) -> bytes:
    """Return the Store Instances Response Module (PS3.18 I.2.2) as DICOM JSON; sequences without items are left out."""
    stored = [_reference(outcome) | _NO_URL for outcome in outcomes if isinstance(outcome, Stored)]
    failed = [outcome for outcome in outcomes if isinstance(outcome, Failed)]
    named = [_reference(outcome) | _reason(outcome) for outcome in failed if outcome.is_identified]
    others = [_reason(outcome) for outcome in failed if not outcome.is_identified]
    sequences = {
        _FAILED_SOP_SEQUENCE: named,
        _REFERENCED_SOP_SEQUENCE: stored,
        _OTHER_FAILURES_SEQUENCE: others,
    }
    dataset: dict[str, Any] = dict(_NO_URL)
    dataset |= {tag: {"vr": "SQ", "Value": items} for tag, items in sequences.items() if items}
    return json.dumps(dataset).encode()


def _reference(outcome: Outcome) -> dict[str, Any]:
    return {
        _SOP_CLASS_UID: {"vr": "UI", "Value": [outcome.sop_class_uid]},
        _SOP_INSTANCE_UID: {"vr": "UI", "Value": [outcome.sop_instance_uid]},
    }


def _reason(outcome: Failed) -> dict[str, Any]:
    return {_FAILURE_REASON: {"vr": "US", "Value": [int(outcome.failure.status)]}}
