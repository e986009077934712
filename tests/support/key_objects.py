"""Key Object Selections as archives and workstations send them."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from typing import Any, Final

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian, generate_uid

KEY_OBJECT_SELECTION: Final = "1.2.840.10008.5.1.4.1.1.88.59"
REJECTED_FOR_QUALITY: Final = "113001"
OF_INTEREST: Final = "113000"
DX: Final = "1.2.840.10008.5.1.4.1.1.1.1"


def code(value: str, scheme: str = "DCM") -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, "a title"
    return item


def _series(objects: Iterable[str]) -> Dataset:
    series = Dataset()
    series.SeriesInstanceUID = generate_uid()
    series.ReferencedSOPSequence = []
    for uid in objects:
        item = Dataset()
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = DX, uid
        series.ReferencedSOPSequence.append(item)
    return series


def evidence(studies: Mapping[str, Iterable[str]]) -> list[Dataset]:
    """Return (0040,A375) for the objects of each study, a series for each."""
    items = []
    for study_uid, objects in studies.items():
        item = Dataset()
        item.StudyInstanceUID = study_uid
        item.ReferencedSeriesSequence = [_series([uid]) for uid in objects]
        items.append(item)
    return items


def key_object(
    studies: Mapping[str, Iterable[str]],
    *,
    title: str = REJECTED_FOR_QUALITY,
    scheme: str = "DCM",
    transfer_syntax: str = ExplicitVRLittleEndian,
    **changes: Any,
) -> bytes:
    """Return a Part 10 file of a document that names these objects; ``changes`` set attributes, ``None`` removes."""
    document = Dataset()
    document.SOPClassUID, document.SOPInstanceUID = KEY_OBJECT_SELECTION, generate_uid()
    document.StudyInstanceUID, document.SeriesInstanceUID = next(iter(studies), generate_uid()), generate_uid()
    document.Modality = "KO"
    document.ConceptNameCodeSequence = [code(title, scheme)]
    document.CurrentRequestedProcedureEvidenceSequence = evidence(studies)
    # The content tree says codes and UIDs of its own, which are not the document's.
    reference, tree = Dataset(), Dataset()
    reference.ReferencedSOPClassUID, reference.ReferencedSOPInstanceUID = DX, "1.2.3.999"
    tree.ValueType, tree.ConceptNameCodeSequence, tree.ReferencedSOPSequence = "IMAGE", [code("113012")], [reference]
    document.ContentSequence = [tree]
    for keyword, value in changes.items():
        if value is None:
            delattr(document, keyword)
        else:
            setattr(document, keyword, value)
    return part10(document, transfer_syntax)


def part10(document: Dataset, transfer_syntax: str = ExplicitVRLittleEndian) -> bytes:
    document.file_meta = FileMetaDataset()
    document.file_meta.TransferSyntaxUID = UID(transfer_syntax)
    document.file_meta.MediaStorageSOPClassUID = document.get("SOPClassUID", KEY_OBJECT_SELECTION)
    document.file_meta.MediaStorageSOPInstanceUID = document.get("SOPInstanceUID", generate_uid())
    buffer = io.BytesIO()
    document.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()
