"""What every object of ours says of itself: who made it, when, in which series, and that it is no diagnosis.

Nothing comes from a clock or from chance: the same record gives the same bytes, so that an object that is sent twice is
sent once. highdicom writes the present moment into what it makes; ``sign`` puts the decision's there.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from importlib.metadata import version
from typing import Any, Final

from pydicom.dataset import Dataset

from model.decoding.source_attributes import SourceAttributes
from services.dicom.codes import COMPREHENSIVE_3D_SR, SECONDARY_CAPTURE
from services.dicom.source import UNICODE, evidence_of
from services.dicom.uids import ResultKind, result_uid, series_uid
from services.dicom.vocabulary import DISCLAIMER, MANUFACTURER
from services.jobs.records import PastDecision, Record

# High, so that our series come behind the hospital's own in viewers that sort by it.
_SERIES_NUMBERS: Final = {ResultKind.REPORT: 9001, ResultKind.OVERLAY: 9002, ResultKind.REJECTION: 9003}
# Of the kinds that speak of one decision; a rejection takes back all of them.
_SOP_CLASSES: Final = {ResultKind.REPORT: COMPREHENSIVE_3D_SR, ResultKind.OVERLAY: SECONDARY_CAPTURE}
_NO_MODEL: Final = "none"


@dataclass(frozen=True, kw_only=True)
class Authorship:
    """Where one object belongs, and when it was made."""

    kind: ResultKind
    film_id: str
    model_digest: str
    model_name: str
    commit: int
    moment: datetime

    def arguments(self) -> dict[str, Any]:
        """Return the arguments that every class of highdicom takes."""
        return {
            "series_instance_uid": series_uid(self.kind, self.film_id),
            "series_number": _SERIES_NUMBERS[self.kind],
            "sop_instance_uid": self.sop_instance_uid,
            "instance_number": self.commit,
            "manufacturer": MANUFACTURER,
            "manufacturer_model_name": self.model_name,
            # Which weights: PS3.3 C.7.5.2 asks for a serial number, and a bundle's digest is the nearest to one.
            "device_serial_number": self.model_digest[:16] or _NO_MODEL,
            "software_versions": version("cxr-triage"),
            "series_description": DISCLAIMER,
            "content_date": self.moment.date(),
            "content_time": self.moment.time(),
        }

    @property
    def sop_instance_uid(self) -> str:
        """The object's UID."""
        return result_uid(self.kind, self.film_id, self.model_digest, self.commit)


def authorship_of(kind: ResultKind, record: Record, source: SourceAttributes, *, commit: int) -> Authorship:
    """Return the authorship of an object about a film's present decision; raise ``ValueError`` while it has none."""
    if record.done_at is None:
        raise ValueError("a film without an outcome has no result")
    return Authorship(
        kind=kind,
        film_id=record.id,
        model_digest=record.model.digest if record.model else "",
        model_name=record.model.name if record.model else MANUFACTURER,
        commit=commit,
        moment=record.done_at.astimezone(_zone(source)).replace(tzinfo=None),
    )


def past_result(
    kind: ResultKind, record: Record, source: SourceAttributes, decision: PastDecision, *, commit: int
) -> Dataset:
    """Return a report or overlay of an earlier decision, as far as highdicom needs it to refer to it."""
    result = evidence_of(source)
    digest = decision.model.digest if decision.model else ""
    result.SOPClassUID, result.SOPInstanceUID = _SOP_CLASSES[kind], result_uid(kind, record.id, digest, commit)
    result.SeriesInstanceUID = series_uid(kind, record.id)
    return result


def _zone(source: SourceAttributes) -> timezone:
    """Return what the film's dates are in, for one object has one offset (PS3.3 C.12.1.1.8); UTC where it says none."""
    if source.utc_offset is None:
        return UTC
    sign = -1 if source.utc_offset[0] == "-" else 1
    return timezone(sign * timedelta(hours=int(source.utc_offset[1:3]), minutes=int(source.utc_offset[3:])))


def sign(dataset: Dataset, authorship: Authorship, source: SourceAttributes) -> None:
    """Add the names that highdicom must not see, and put the decision's moment wherever it took the present one."""
    dataset.SpecificCharacterSet = UNICODE
    dataset.PatientName = source.patient_name
    dataset.ReferringPhysicianName = source.referring_physician_name or ""
    dataset.InstanceCreationDate = authorship.moment.strftime("%Y%m%d")
    dataset.InstanceCreationTime = authorship.moment.strftime("%H%M%S.%f")
    for equipment in dataset.get("ContributingEquipmentSequence", ()):
        if "ContributionDateTime" in equipment:
            equipment.ContributionDateTime = authorship.moment.strftime("%Y%m%d%H%M%S.%f")
    if source.utc_offset is not None:
        dataset.TimezoneOffsetFromUTC = source.utc_offset
