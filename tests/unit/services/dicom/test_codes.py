import inspect

import pytest

import services.jobs.errors
from model.errors import CorruptImage, Reason, UnsupportedFormat
from services.dicom.codes import FAILURES, FILM_CLASSES, KEY_OBJECTS, SOP_CLASSES, TAKEN_CLASSES, failure_of
from services.dicom.errors import SopClassNotTaken, StudyMismatch
from services.jobs.errors import JobsError, QueueFull, QueueUnsafe, RecordCorrupt, SpoolFull

# Nothing that takes a film in can meet these.
_OF_OTHERS = {
    *("JobsError", "JobNotFound", "StudyNotFound", "PictureGone", "NotRescorable", "MediaTypeMismatch"),
    *("ClaimsNotAllowed", "FilmWithdrawn", "LedgerUnavailable", "ActivationConflict", "BundleInUse", "PortTaken"),
    *("PolicyChanged", "ModelNotKnown", "BelowSensitivityFloor", "PoliciesMissing"),
    *("StudyNotScored", "NotBlind", "TooManyAssessments"),
}


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (SopClassNotTaken("x"), 0x0122),
        (StudyMismatch("x"), 0xA900),
        (CorruptImage(Reason.DECODE_ERROR, "x"), 0xC000),
        (UnsupportedFormat(Reason.DECODE_ERROR, "x"), 0xC000),
        (QueueFull("x"), 0xA700),
        (SpoolFull("x"), 0xA700),
        (QueueUnsafe("x"), 0x0110),
        (RecordCorrupt("x"), 0x0110),
    ],
)
def test_failures_have_the_codes_of_the_standard(error: Exception, code: int) -> None:
    assert failure_of(error).status == code


def test_every_error_on_the_way_in_has_a_status() -> None:
    kinds = [
        kind for _, kind in inspect.getmembers(services.jobs.errors, inspect.isclass) if issubclass(kind, JobsError)
    ]
    unmapped = {kind.__name__ for kind in kinds if not any(ancestor in FAILURES for ancestor in kind.__mro__)}
    assert unmapped <= _OF_OTHERS


def test_what_may_be_sent_again_is_what_our_own_errors_call_retryable() -> None:
    ours = {kind: failure for kind, failure in FAILURES.items() if issubclass(kind, JobsError)}
    assert all(failure.is_temporary == kind.retryable for kind, failure in ours.items())


def test_error_without_a_status_is_no_answer() -> None:
    with pytest.raises(LookupError):
        failure_of(ValueError("x"))


def test_films_and_notes_about_them_are_taken_and_nothing_else() -> None:
    assert len(TAKEN_CLASSES) == len(SOP_CLASSES) == 4
    assert [sop_class.uid for sop_class in SOP_CLASSES if not sop_class.is_film] == [KEY_OBJECTS]
    assert {uid.removeprefix("1.2.840.10008.5.1.4.1.1.") for uid in FILM_CLASSES} == {"1", "1.1", "1.1.1"}
