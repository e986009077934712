"""The note that takes back our own results of a withdrawn film: all of them, and nobody else's objects."""

from __future__ import annotations

import io
from collections.abc import Sequence

import highdicom
from pydicom import Dataset, dcmread

from model.decoding.key_object import read_key_object
from services.dicom.files import overlay_file, rejection_file, report_file
from services.dicom.uids import ResultKind, result_uid
from services.jobs.records import PastDecision
from tests.support.results import DIGEST, FILM_ID, NOTHING, done_record, kept_pictures, past_decision, source_of

WITHDRAWN = done_record(**(NOTHING | {"reason": "withdrawn"}))


def note_of(past: Sequence[PastDecision]) -> Dataset:
    content = rejection_file(
        WITHDRAWN, source_of(PatientName="Wang^XiaoDong=王^小东", SpecificCharacterSet="ISO_IR 192"), past
    )
    assert content is not None
    return dcmread(io.BytesIO(content))


def referenced(note: Dataset) -> dict[str, str]:
    """What the note rejects, SOPInstanceUID -> value type."""
    items = [item for item in note.ContentSequence if "ReferencedSOPSequence" in item]
    return {str(item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID): item.ValueType for item in items}


def evidence(note: Dataset) -> set[str]:
    (study,) = note.CurrentRequestedProcedureEvidenceSequence
    assert study.StudyInstanceUID == note.StudyInstanceUID
    instances = (instance for series in study.ReferencedSeriesSequence for instance in series.ReferencedSOPSequence)
    return {str(instance.ReferencedSOPInstanceUID) for instance in instances}


def test_report_and_overlay_that_were_made_are_those_that_are_rejected() -> None:
    source, pictures = source_of(), kept_pictures()
    report = dcmread(io.BytesIO(report_file(done_record(), source, ())))
    overlay = dcmread(io.BytesIO(overlay_file(done_record(), source, *pictures, commit=1)))
    note = note_of([past_decision()])
    assert referenced(note) == {report.SOPInstanceUID: "COMPOSITE", overlay.SOPInstanceUID: "IMAGE"}
    assert evidence(note) == set(referenced(note))


def test_every_past_decision_is_rejected_and_the_film_is_not() -> None:
    note = note_of([past_decision(**NOTHING), past_decision()])
    assert set(referenced(note)) == {
        result_uid(ResultKind.REPORT, FILM_ID, "", 1),
        result_uid(ResultKind.REPORT, FILM_ID, DIGEST, 2),
        result_uid(ResultKind.OVERLAY, FILM_ID, DIGEST, 2),
    }
    assert source_of().sop_instance_uid not in referenced(note)
    assert note.SOPInstanceUID == result_uid(ResultKind.REJECTION, FILM_ID, "", 3)


def test_note_has_a_title_of_rejection_and_the_films_patient_and_study() -> None:
    note = note_of([past_decision()])
    (title,) = note.ConceptNameCodeSequence
    assert (title.CodeValue, title.CodingSchemeDesignator) == ("113037", "DCM")
    assert (note.Modality, note.PatientID, str(note.PatientName)) == ("KO", "PHANTOM", "Wang^XiaoDong=王^小东")
    assert note.StudyInstanceUID == source_of().study_instance_uid


def test_same_record_gives_the_same_bytes() -> None:
    past = [past_decision()]
    assert rejection_file(WITHDRAWN, source_of(), past) == rejection_file(WITHDRAWN, source_of(), past)


def test_note_about_a_film_past_retention_names_the_study_and_nobody() -> None:
    content = rejection_file(WITHDRAWN, None, [past_decision()])
    assert content is not None
    note = dcmread(io.BytesIO(content))
    assert (note.StudyInstanceUID, note.PatientID, str(note.PatientName)) == (WITHDRAWN.study_uid, "", "")
    assert set(referenced(note)) == set(referenced(note_of([past_decision()])))


def test_film_of_which_nothing_was_said_needs_no_note() -> None:
    assert rejection_file(WITHDRAWN, source_of(), []) is None


def test_note_that_comes_back_to_us_is_a_rejection_of_nothing_but_results() -> None:
    content = rejection_file(WITHDRAWN, source_of(), [past_decision()])
    assert content is not None
    note = read_key_object(content)
    assert note.is_rejection
    assert source_of().sop_instance_uid not in {reference.sop_instance_uid for reference in note.references}
    assert len(note.references) == 2


def test_highdicom_reads_the_note() -> None:
    content = rejection_file(WITHDRAWN, source_of(), [past_decision()])
    assert content is not None
    note = highdicom.ko.KeyObjectSelectionDocument.from_dataset(dcmread(io.BytesIO(content)))
    assert len(note.content.get_references()) == 2
