"""The answer to STOW-RS, read back by another's reader of DICOM JSON."""

import json

import pytest
from pydicom import Dataset

from model.errors import CorruptImage, Reason
from services.api.errors import MalformedMultipart, PayloadTooLarge
from services.api.store_replies import Failed, InstanceError, Outcome, Stored, body_of, status_of
from services.dicom.errors import SopClassNotTaken, StudyMismatch
from services.jobs.errors import QueueFull, QueueUnavailable

CR = "1.2.840.10008.5.1.4.1.1.1"
STORED = Stored(sop_class_uid=CR, sop_instance_uid="1.2.3")
OTHER_CLASS = Failed(error=SopClassNotTaken("x"), sop_class_uid="1.2.840.10008.5.1.4.1.1.2", sop_instance_uid="1.2.4")
FULL = Failed(error=QueueFull("x"), sop_class_uid=CR, sop_instance_uid="1.2.5")
GARBAGE = Failed(error=CorruptImage(Reason.DECODE_ERROR, "x"))


def read(outcomes: list[Outcome]) -> Dataset:
    return Dataset.from_json(body_of(outcomes).decode())


@pytest.mark.parametrize(
    ("outcomes", "status"),
    [
        ([STORED], 200),
        ([STORED, STORED], 200),
        ([STORED, GARBAGE], 202),
        ([OTHER_CLASS, STORED], 202),
        ([STORED, FULL], 202),
        ([OTHER_CLASS], 409),
        ([GARBAGE, OTHER_CLASS], 409),
        ([FULL], 503),
        ([OTHER_CLASS, FULL], 503),
        ([Failed(error=QueueUnavailable("x"))], 503),
    ],
)
def test_status_is_the_one_of_the_standards_table(outcomes: list[Outcome], status: int) -> None:
    assert status_of(outcomes) == status


def test_each_instance_is_told_of_in_its_sequence() -> None:
    reply = read([STORED, OTHER_CLASS, GARBAGE, FULL])
    assert [(item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID) for item in reply.ReferencedSOPSequence] == [
        (CR, "1.2.3")
    ]
    assert [(item.ReferencedSOPInstanceUID, item.FailureReason) for item in reply.FailedSOPSequence] == [
        ("1.2.4", 0x0122),
        ("1.2.5", 0xA700),
    ]
    assert [item.FailureReason for item in reply.OtherFailuresSequence] == [0xC000]


@pytest.mark.parametrize(
    ("outcomes", "sequences"),
    [
        ([STORED], {"00081199"}),
        ([OTHER_CLASS], {"00081198"}),
        ([GARBAGE], {"0008119A"}),
        ([STORED, OTHER_CLASS], {"00081199", "00081198"}),
    ],
)
def test_sequence_without_items_is_left_out(outcomes: list[Outcome], sequences: set[str]) -> None:
    assert set(json.loads(body_of(outcomes))) == sequences | {"00081190"}


def test_what_cannot_be_retrieved_has_an_address_without_value() -> None:
    reply = json.loads(body_of([STORED]))
    assert reply["00081190"] == {"vr": "UR"}
    assert reply["00081199"]["Value"][0]["00081190"] == {"vr": "UR"}


@pytest.mark.parametrize(
    ("error", "code"), [(PayloadTooLarge("x"), 0xA700), (MalformedMultipart("x"), 0xC000), (StudyMismatch("x"), 0xA900)]
)
def test_every_failure_has_a_reason(error: InstanceError, code: int) -> None:
    assert read([Failed(error=error)]).OtherFailuresSequence[0].FailureReason == code


def test_no_text_of_an_error_reaches_the_body() -> None:
    assert b"secret" not in body_of([Failed(error=MalformedMultipart("secret"))])
