"""The note that takes back what we have said of a film that was withdrawn: a Key Object as IHE IOCM has it.

It names our own report and overlay of every past decision, and nothing of anybody else's: whoever withdrew the film
rejects the film. An archive that knows IOCM gives out none of what the note names. By highdicom.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from highdicom.ko import KeyObjectSelection, KeyObjectSelectionDocument
from pydicom.dataset import Dataset

from model.decoding.source_attributes import SourceAttributes
from services.dicom.authorship import authorship_of, past_result, sign
from services.dicom.report import device_observer
from services.dicom.source import study_alone
from services.dicom.uids import ResultKind
from services.dicom.vocabulary import REJECTED
from services.jobs.records import PastDecision, Record

_DESCRIPTION: Final = "The film was withdrawn; results about it must not be used."


def build_rejection(record: Record, source: SourceAttributes | None, past: Sequence[PastDecision]) -> Dataset | None:
    """Return the note for a withdrawn film; ``None`` where nothing had been said of it.

    Parameters
    ----------
    source
        ``None`` where the film's header is past retention. The note names no patient then, which an archive may mind;
        results about a withdrawn film that nobody takes back are worse.
    past
        Every earlier decision, oldest first: that of ``past[i]`` is the film's commit ``i + 1``. Objects that were
        never sent are named too; an archive passes over what it does not have.
    """
    if not past:
        return None
    source = source or study_alone(record)
    rejected: list[Dataset] = []
    for commit, decision in enumerate(past, 1):
        rejected.extend(_results(record, source, decision, commit))
    authorship = authorship_of(ResultKind.REJECTION, record, source, commit=len(past) + 1)
    note = KeyObjectSelectionDocument(
        evidence=rejected,
        content=KeyObjectSelection(
            document_title=REJECTED,
            referenced_objects=rejected,
            observer_device_context=device_observer(authorship),
            description=_DESCRIPTION,
        ),
        **authorship.arguments(),
    )
    note.copy_patient_and_study_information(rejected[0])
    sign(note, authorship, source)
    return note


def _results(record: Record, source: SourceAttributes, decision: PastDecision, commit: int) -> Iterator[Dataset]:
    """Yield what there may be of one decision, as evidence: the report, and the overlay of a score."""
    yield past_result(ResultKind.REPORT, record, source, decision, commit=commit)
    if decision.outcome.is_scored:
        overlay = past_result(ResultKind.OVERLAY, record, source, decision, commit=commit)
        # highdicom refers to what has a size as an image; how large it is does not matter.
        overlay.Rows = overlay.Columns = 1
        yield overlay
