import inspect
from types import ModuleType

import pytest

import model.errors
import services.api.errors
import services.api.refusals
import services.dicom.errors
import services.jobs.errors
import services.jobs.settings
from model.errors import CorruptImage, Reason, UnsupportedFormat
from services.api import answers
from services.api.errors import UploadsBusy
from services.dicom.errors import DicomExtraMissing, FilmGone, FilmNotDicom, FilmNotReportable
from services.jobs.errors import (
    BelowSensitivityFloor,
    JobNotFound,
    JobsError,
    ModelNotKnown,
    NotRescorable,
    PolicyChanged,
    QueueUnavailable,
    QueueUnsafe,
    SpoolFull,
)

ERROR_MODULES = (
    *(model.errors, services.jobs.errors, services.jobs.settings),
    *(services.dicom.errors, services.api.errors, services.api.refusals),
)


def leaves(modules: tuple[ModuleType, ...]) -> list[type[Exception]]:
    classes = [
        member
        for module in modules
        for _, member in inspect.getmembers(module, inspect.isclass)
        if issubclass(member, Exception) and member.__module__ == module.__name__
    ]
    return [kind for kind in classes if not any(issubclass(other, kind) and other is not kind for other in classes)]


@pytest.mark.parametrize("leaf", leaves(ERROR_MODULES), ids=lambda leaf: leaf.__name__)
def test_every_error_is_answered_or_known_to_meet_no_request(leaf: type[Exception]) -> None:
    is_answered = any(ancestor in answers.TABLE for ancestor in leaf.__mro__)
    never_meets_a_request = any(ancestor in answers.NEVER_ANSWERED for ancestor in leaf.__mro__)
    assert is_answered != never_meets_a_request


def test_codes_of_all_errors_differ() -> None:
    codes = [leaf.code for leaf in leaves(ERROR_MODULES)]  # type: ignore[attr-defined]  # checked by this very line
    assert len(set(codes)) == len(codes)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (UnsupportedFormat(Reason.DECODE_ERROR, "x"), 415),
        (CorruptImage(Reason.DECODE_ERROR, "x"), 422),
        (JobNotFound(), 404),
        (QueueUnavailable(), 503),
        (QueueUnsafe(), 503),
        (SpoolFull(), 507),
        (UploadsBusy(), 503),
        (FilmNotDicom(), 409),
        (FilmNotReportable(), 409),
        (FilmGone(), 410),
        (DicomExtraMissing(), 501),
    ],
)
def test_statuses_are_those_of_the_contract(error: Exception, status: int) -> None:
    assert answers.answer_to(error).status == status


def test_error_without_a_row_is_not_guessed() -> None:
    with pytest.raises(LookupError):
        answers.answer_to(JobsError())


def test_whatever_may_be_repeated_says_when() -> None:
    for kind, answer in answers.TABLE.items():
        if answer.status in (429, 503, 507):
            assert answer.retry_after_seconds is not None, kind


# Raised with texts of a closed set: numbers, and what to do.
WITH_WORDS_FOR_CALLERS = {BelowSensitivityFloor, ModelNotKnown, NotRescorable, PolicyChanged}


def test_texts_of_errors_below_the_gateway_do_not_reach_callers() -> None:
    for kind, answer in answers.TABLE.items():
        if issubclass(kind, JobsError) and kind not in WITH_WORDS_FOR_CALLERS:
            assert answer.advice, f"{kind.__name__} would show its own text, which may name hosts and paths"
