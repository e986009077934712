"""Every error has a status that is no success, and a comment that every sender can read."""

from collections.abc import Iterator

import pytest

from model.errors import CorruptImage, ModelError, Reason, UnsupportedFormat
from services.dicom.codes import Status
from services.dicom.errors import DicomError, SopClassNotTaken
from services.dimse import errors as dimse
from services.dimse.statuses import COMMENT_CHARACTERS, comment_of, status_of
from services.jobs import errors as jobs


def descendants(kind: type[Exception]) -> Iterator[type[Exception]]:
    yield kind
    for child in kind.__subclasses__():
        yield from descendants(child)


EVERY_ERROR = [
    kind
    for root in (jobs.JobsError, dimse.DimseError, DicomError, ModelError)
    for kind in descendants(root)
    if kind.__module__.startswith(("services.", "model."))
]


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (jobs.QueueFull(), Status.OUT_OF_RESOURCES),
        (jobs.SiteShareUsed(), Status.OUT_OF_RESOURCES),
        (jobs.QueueUnavailable(), Status.OUT_OF_RESOURCES),
        (jobs.QueueUnsafe(), Status.OUT_OF_RESOURCES),
        (jobs.SpoolFull(), Status.OUT_OF_RESOURCES),
        (jobs.SpoolUnavailable(), Status.OUT_OF_RESOURCES),
        (CorruptImage(Reason.DECODE_ERROR, "torn"), Status.CANNOT_UNDERSTAND),
        (UnsupportedFormat(Reason.DECODE_ERROR, "no film"), Status.CANNOT_UNDERSTAND),
        (dimse.FilmAbsent(), Status.CANNOT_UNDERSTAND),
        (dimse.FilmTooLarge(), Status.CANNOT_UNDERSTAND),
        (dimse.DataSetMismatch(), Status.MISMATCH),
        (dimse.CallerNotKnown(), Status.NOT_AUTHORISED),
        (SopClassNotTaken(), Status.SOP_CLASS_NOT_SUPPORTED),
        (RuntimeError("nobody foresaw this"), Status.PROCESSING_FAILURE),
    ],
)
def test_errors_have_the_status_of_the_standard(error: Exception, status: Status) -> None:
    assert status_of(error) == status


@pytest.mark.parametrize("kind", EVERY_ERROR, ids=lambda kind: kind.__name__)
def test_no_error_is_a_success_or_a_warning(kind: type[Exception]) -> None:
    status = status_of(kind.__new__(kind))
    assert status != Status.SUCCESS
    assert status >> 12 != 0xB


@pytest.mark.parametrize("kind", EVERY_ERROR, ids=lambda kind: kind.__name__)
def test_a_comment_fits_and_is_a_code_of_ours(kind: type[Exception]) -> None:
    comment = comment_of(kind.__new__(kind))
    assert 0 < len(comment) <= COMMENT_CHARACTERS
    assert comment.replace("_", "").isalnum()
    assert comment.isascii()


@pytest.mark.parametrize(
    "error",
    [ValueError("Smith^John"), UnicodeDecodeError("ascii", b"\xff", 0, 1, "Smith^John")],
    ids=["text", "reason"],
)
def test_a_comment_quotes_nothing(error: Exception) -> None:
    assert comment_of(error) == "internal_error"
