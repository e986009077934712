"""The head that a data set without one gets."""

import io

import pytest
from pydicom import dcmread

from model.decoding.inspect import inspect_header
from services.dimse.part10 import IMPLEMENTATION_CLASS_UID, head_of
from tests.support.dimse import data_set_of
from tests.support.films import CR_STORAGE, EXPLICIT, IMPLICIT, JPEG_LS, dicom_film


def head(transfer_syntax: str, instance: str = "1.2.3.4") -> bytes:
    return head_of(sop_class_uid=CR_STORAGE, sop_instance_uid=instance, transfer_syntax_uid=transfer_syntax)


@pytest.mark.parametrize("transfer_syntax", [IMPLICIT, EXPLICIT, JPEG_LS])
@pytest.mark.parametrize("instance", ["1.2.3.4", "1.2.3.45"])
def test_head_and_data_set_are_a_whole_file(transfer_syntax: str, instance: str) -> None:
    film = dicom_film(transfer_syntax=transfer_syntax, SOPInstanceUID=instance)
    file = dcmread(io.BytesIO(head(transfer_syntax, instance) + data_set_of(film)))
    assert file.file_meta.MediaStorageSOPInstanceUID == instance
    assert file.file_meta.MediaStorageSOPClassUID == CR_STORAGE
    assert file.file_meta.TransferSyntaxUID == transfer_syntax
    assert file.file_meta.ImplementationClassUID == IMPLEMENTATION_CLASS_UID
    assert file.file_meta.FileMetaInformationVersion == b"\0\1"
    assert file == dcmread(io.BytesIO(film))


def test_its_group_length_leads_to_the_data_set() -> None:
    whole = head(EXPLICIT)
    assert data_set_of(whole + b"the data set") == b"the data set"


def test_our_own_walk_reads_it() -> None:
    film = dicom_film(SOPInstanceUID="1.2.3.4")
    header = inspect_header(head(EXPLICIT) + data_set_of(film))
    assert (header.sop_class_uid, header.sop_instance_uid) == (CR_STORAGE, "1.2.3.4")


def test_the_bytes_never_change() -> None:
    """Ids of films follow from them: another head would make a second film of each that is sent again."""
    meta = head(EXPLICIT)[132:]
    assert meta == (
        b"\2\0\0\0UL\4\0\x90\0\0\0"
        b"\2\0\1\0OB\0\0\2\0\0\0\0\1"
        b"\2\0\2\0UI\x1a\x001.2.840.10008.5.1.4.1.1.1\0"
        b"\2\0\3\0UI\x08\x001.2.3.4\0"
        b"\2\0\x10\0UI\x14\x001.2.840.10008.1.2.1\0"
        b"\2\0\x12\0UI\x2c\x002.25.98479795400485342603793456019448375551\0"
    )
