"""``read_key_object``: what a Key Object Selection names, and that a hostile one is refused."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGLosslessSV1,
    generate_uid,
)

from model.decoding.key_object import LARGEST_BYTES, REJECTION_TITLES, ReferencedObject, read_key_object
from model.errors import CorruptImage
from tests.support.films import dicom_film
from tests.support.key_objects import code, evidence, key_object, part10

STUDIES = {"1.2.3": ["1.2.3.1", "1.2.3.2"], "1.2.4": ["1.2.4.1"]}
NAMED = (
    ReferencedObject(study_uid="1.2.3", sop_instance_uid="1.2.3.1"),
    ReferencedObject(study_uid="1.2.3", sop_instance_uid="1.2.3.2"),
    ReferencedObject(study_uid="1.2.4", sop_instance_uid="1.2.4.1"),
)


@pytest.mark.parametrize("transfer_syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, JPEGLosslessSV1])
def test_document_names_its_title_and_each_object_of_its_evidence(transfer_syntax: str) -> None:
    payload = key_object(STUDIES, transfer_syntax=transfer_syntax)
    note = read_key_object(payload)
    said = dcmread(io.BytesIO(payload))
    assert (note.sop_class_uid, note.sop_instance_uid) == (said.SOPClassUID, said.SOPInstanceUID)
    assert (note.study_uid, note.title, note.scheme) == ("1.2.3", "113001", "DCM")
    assert note.references == NAMED, "and nothing that the content tree names besides"
    assert note.is_rejection


def test_document_is_read_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "note"
    file.write_bytes(key_object(STUDIES))
    assert read_key_object(file).references == NAMED


@pytest.mark.parametrize("title", sorted(REJECTION_TITLES))
def test_four_titles_reject(title: str) -> None:
    assert read_key_object(key_object(STUDIES, title=title)).is_rejection


@pytest.mark.parametrize(("title", "scheme"), [("113000", "DCM"), ("113001", "99LOCAL"), ("121144", "DCM")])
def test_other_titles_and_those_of_others_reject_nothing(title: str, scheme: str) -> None:
    note = read_key_object(key_object(STUDIES, title=title, scheme=scheme))
    assert not note.is_rejection
    assert note.references == NAMED


def test_object_that_is_named_twice_is_one() -> None:
    assert len(read_key_object(key_object({"1.2.3": ["1.2.3.1", "1.2.3.1"]})).references) == 1


def test_document_of_highdicom_is_read() -> None:
    ko = pytest.importorskip("highdicom.ko", reason="the extra `dicom` is not installed")
    film = dcmread(io.BytesIO(dicom_film(rows=64, columns=64)))
    film.PatientID, film.PatientName, film.PatientBirthDate, film.PatientSex = "1", "A^B", "", ""
    film.StudyDate, film.StudyTime, film.StudyID, film.AccessionNumber = "", "", "", ""
    film.ReferringPhysicianName = ""
    film.setdefault("SeriesInstanceUID", generate_uid())
    content = ko.KeyObjectSelection(codes.DCM.RejectedForQualityReasons, [film])
    document = ko.KeyObjectSelectionDocument(
        [film], content, generate_uid(), 1, generate_uid(), 1, manufacturer="M", institution_name="I"
    )
    note = read_key_object(part10(document))
    assert note.is_rejection
    assert note.references == (ReferencedObject(study_uid=film.StudyInstanceUID, sop_instance_uid=film.SOPInstanceUID),)


def _deep(levels: int) -> list[Dataset]:
    items: list[Dataset] = []
    for _ in range(levels):
        item = Dataset()
        item.ContentSequence = items
        items = [item]
    return items


@pytest.mark.parametrize(
    "payload",
    [
        pytest.param(key_object(STUDIES, ConceptNameCodeSequence=None), id="no title"),
        pytest.param(key_object(STUDIES, ConceptNameCodeSequence=[code("")]), id="empty title"),
        pytest.param(key_object(STUDIES, StudyInstanceUID=None), id="no study"),
        pytest.param(key_object(STUDIES, SOPInstanceUID=None), id="no instance"),
        pytest.param(key_object(STUDIES, SOPClassUID="1.2.840.10008.5.1.4.1.1.88.11"), id="other class"),
        pytest.param(key_object(STUDIES, ContentSequence=_deep(20)), id="nested too deep"),
        pytest.param(key_object(STUDIES, TextValue="x" * LARGEST_BYTES), id="too large"),
        pytest.param(key_object({"1.2.3": [f"1.2.{n}" for n in range(4000)]}), id="too many elements"),
        pytest.param(key_object(STUDIES, transfer_syntax=DeflatedExplicitVRLittleEndian), id="deflated"),
        pytest.param(key_object(STUDIES)[:-30], id="truncated"),
        pytest.param(key_object({}), id="rejects nothing"),
        pytest.param(b"", id="empty"),
        pytest.param(dicom_film(rows=64, columns=64), id="a film"),
    ],
)
def test_document_that_cannot_be_trusted_is_refused(payload: bytes) -> None:
    with pytest.raises(CorruptImage):
        read_key_object(payload)


def test_object_without_its_study_is_refused() -> None:
    items = evidence(STUDIES)
    del items[1].StudyInstanceUID
    with pytest.raises(CorruptImage, match="0020,000D"):
        read_key_object(key_object(STUDIES, CurrentRequestedProcedureEvidenceSequence=items))


def test_no_prefix_of_a_document_does_anything_but_be_read_or_refused() -> None:
    payload = key_object(STUDIES)
    for end in range(len(payload)):
        try:
            note = read_key_object(payload[:end])
        except CorruptImage:
            continue
        assert set(note.references) <= set(NAMED)
