"""The one table from error class to HTTP status, with what each answer advises.

Knows every error that a request can meet; no other module names a status for one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

from model.errors import BundleError, CorruptImage, InferenceError, UnsuitableImage, UnsupportedFormat
from services.api import errors as api
from services.api import refusals
from services.dicom import errors as dicom
from services.jobs import errors as jobs
from services.jobs.settings import SettingsError


@dataclass(frozen=True, kw_only=True)
class Answer:
    """How an error class is answered.

    Attributes
    ----------
    status
        HTTP status.
    advice
        What the caller should do. ``None`` where the error's own message says it; those of ``services.jobs`` and of
        Redis do not speak to callers.
    retry_after_seconds
        Base of the Retry-After header; ``None`` where waiting does not help.
    """

    status: HTTPStatus
    advice: str | None = None
    retry_after_seconds: float | None = None


# A class answers for its subclasses unless they have a row of their own.
TABLE: Final[Mapping[type[Exception], Answer]] = {
    UnsupportedFormat: Answer(
        status=HTTPStatus.UNSUPPORTED_MEDIA_TYPE, advice="Send a DICOM Part 10, PNG or JPEG file; these bytes are none."
    ),
    CorruptImage: Answer(status=HTTPStatus.UNPROCESSABLE_ENTITY),
    refusals.Unauthenticated: Answer(status=HTTPStatus.UNAUTHORIZED),
    refusals.Forbidden: Answer(status=HTTPStatus.FORBIDDEN),
    refusals.TooManyRequests: Answer(status=HTTPStatus.TOO_MANY_REQUESTS, retry_after_seconds=1),
    api.MalformedRequest: Answer(status=HTTPStatus.BAD_REQUEST),
    api.UnsupportedMedia: Answer(status=HTTPStatus.UNSUPPORTED_MEDIA_TYPE),
    api.Unprocessable: Answer(status=HTTPStatus.UNPROCESSABLE_ENTITY),
    api.PreconditionRequired: Answer(status=HTTPStatus.PRECONDITION_REQUIRED),
    api.NotAcceptable: Answer(status=HTTPStatus.NOT_ACCEPTABLE),
    api.PayloadTooLarge: Answer(status=HTTPStatus.REQUEST_ENTITY_TOO_LARGE),
    api.MalformedHttp: Answer(
        status=HTTPStatus.BAD_REQUEST,
        advice="This is not HTTP/1.1 as RFC 9112 has it: malformed, open to two readings, or an upgrade with a body.",
    ),
    api.HeaderTimeout: Answer(
        status=HTTPStatus.REQUEST_TIMEOUT, advice="The request's headers did not arrive in time. Connect again."
    ),
    api.HeadersTooLarge: Answer(
        status=HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
        advice="Request line, headers, trailers or chunk extensions are too large or too many. Send fewer.",
    ),
    api.ConnectionsBusy: Answer(
        status=HTTPStatus.SERVICE_UNAVAILABLE,
        advice="Too many connections are open, or requests wait on this one. Repeat after Retry-After seconds.",
        retry_after_seconds=2,
    ),
    api.UploadTimeout: Answer(status=HTTPStatus.REQUEST_TIMEOUT),
    api.ModelNotLoaded: Answer(status=HTTPStatus.NOT_FOUND),
    api.FilmNotDone: Answer(status=HTTPStatus.CONFLICT),
    api.FilmNotAssessed: Answer(status=HTTPStatus.CONFLICT),
    api.PictureAbsent: Answer(status=HTTPStatus.NOT_FOUND),
    api.NotReady: Answer(status=HTTPStatus.SERVICE_UNAVAILABLE, retry_after_seconds=2),
    jobs.JobNotFound: Answer(status=HTTPStatus.NOT_FOUND, advice="No film of this id is known here; check the id."),
    jobs.StudyNotFound: Answer(
        status=HTTPStatus.NOT_FOUND, advice="No study of this UID is known at this site; check the UID and `site`."
    ),
    jobs.StudyNotScored: Answer(
        status=HTTPStatus.CONFLICT,
        advice="The study has no outcome to be assessed: a film is open, or was not assessed. Look at it again later.",
    ),
    jobs.NotBlind: Answer(
        status=HTTPStatus.CONFLICT,
        advice="The study does not wait for a blind reading, was read so, or you have seen its outcome. "
        "Send the assessment with `blind` false.",
    ),
    jobs.TooManyAssessments: Answer(
        status=HTTPStatus.CONFLICT, advice="This study has as many assessments as one may have. Nothing was kept."
    ),
    jobs.PictureGone: Answer(
        status=HTTPStatus.GONE, advice="The picture was kept, but not any more; the film's record stays. Do not repeat."
    ),
    jobs.MediaTypeMismatch: Answer(
        status=HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        advice="Declared as one format, but the bytes are another. Declare what is sent.",
    ),
    jobs.ClaimsNotAllowed: Answer(
        status=HTTPStatus.UNPROCESSABLE_ENTITY,
        advice="A DICOM film says study, view, age and sex itself; send it without these parameters.",
    ),
    jobs.SiblingUnseen: Answer(
        status=HTTPStatus.SERVICE_UNAVAILABLE,
        advice="The same object comes from several senders at this moment, and this one was not kept. Send it again.",
        retry_after_seconds=2,
    ),
    jobs.QueueFull: Answer(
        status=HTTPStatus.SERVICE_UNAVAILABLE,
        advice="The backlog is full and nothing was kept. Send the film again after Retry-After seconds.",
        retry_after_seconds=10,
    ),
    jobs.SiteShareUsed: Answer(
        status=HTTPStatus.TOO_MANY_REQUESTS,
        advice="This site has used its share of the backlog and nothing was kept. Send it again after Retry-After.",
        retry_after_seconds=10,
    ),
    jobs.NotRescorable: Answer(
        status=HTTPStatus.CONFLICT,
        advice="The film has no outcome yet, or its payload is past retention; its outcome stands then.",
    ),
    jobs.FilmWithdrawn: Answer(
        status=HTTPStatus.CONFLICT, advice="The film was withdrawn and stays so. Send a corrected one as a new object."
    ),
    jobs.PolicyChanged: Answer(status=HTTPStatus.PRECONDITION_FAILED),
    jobs.ModelNotKnown: Answer(status=HTTPStatus.CONFLICT),
    jobs.BelowSensitivityFloor: Answer(status=HTTPStatus.UNPROCESSABLE_ENTITY),
    jobs.QueueUnavailable: Answer(
        status=HTTPStatus.SERVICE_UNAVAILABLE,
        advice="The queue does not answer. Repeat the request after Retry-After seconds; repeating is harmless.",
        retry_after_seconds=5,
    ),
    jobs.RecordCorrupt: Answer(
        status=HTTPStatus.SERVICE_UNAVAILABLE,
        advice="What is stored of this film cannot be read, and it counts as unread. Tell the operator.",
        retry_after_seconds=60,
    ),
    dicom.ResultError: Answer(status=HTTPStatus.CONFLICT),
    dicom.FilmGone: Answer(
        status=HTTPStatus.GONE,
        advice="The film is past retention, its header with it; its record stays. Do not repeat.",
    ),
    dicom.DicomExtraMissing: Answer(
        status=HTTPStatus.NOT_IMPLEMENTED,
        advice="This service makes no DICOM objects. Ask its operator to install the extra `dicom`.",
    ),
    jobs.SpoolFull: Answer(
        status=HTTPStatus.INSUFFICIENT_STORAGE,
        advice="The service has no room for payloads and kept nothing. Tell its operator; repeat after Retry-After.",
        retry_after_seconds=60,
    ),
    jobs.SpoolUnavailable: Answer(
        status=HTTPStatus.SERVICE_UNAVAILABLE,
        advice="The service cannot write payloads. Tell its operator; repeat after Retry-After seconds.",
        retry_after_seconds=30,
    ),
}

# Errors that no request can meet: they end a process at start, or a worker turns them into a film's reason.
NEVER_ANSWERED: Final[frozenset[type[Exception]]] = frozenset(
    {
        *(BundleError, InferenceError, UnsuitableImage, SettingsError),
        dicom.DicomError,  # one instance's, answered beside the others of its request
        *(jobs.LedgerUnavailable, jobs.ActivationConflict, jobs.PoliciesMissing, jobs.BundleInUse, jobs.PortTaken),
    }
)


def answer_to(error: Exception) -> Answer:
    """Return the row of an error's class or of its nearest ancestor; raise ``LookupError`` where there is none."""
    for ancestor in type(error).__mro__:
        if ancestor in TABLE:
            return TABLE[ancestor]
    raise LookupError(f"{type(error).__name__} has no row in the table of problems")
