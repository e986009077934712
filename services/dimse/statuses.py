"""What an error is called in a C-STORE response (PS3.4 B.2.3, PS3.7 C); on top of the table shared with STOW-RS."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from model.errors import ModelError
from services.dicom.codes import Status, failure_of
from services.dicom.errors import DicomError
from services.dimse.errors import CallerNotKnown, DataSetMismatch, DimseError, FilmAbsent, FilmTooLarge
from services.jobs.errors import JobsError

# Error Comment (0000,0902) is LO: longer ones are refused by some senders' libraries (PROTOCOLS §2).
COMMENT_CHARACTERS: Final = 64
_UNFORESEEN: Final = "internal_error"

_OURS: Final[Mapping[type[DimseError], Status]] = {
    CallerNotKnown: Status.NOT_AUTHORISED,
    DataSetMismatch: Status.MISMATCH,
    FilmAbsent: Status.CANNOT_UNDERSTAND,
    # Not A700H, after which senders try again for ever: the film will not be smaller then.
    FilmTooLarge: Status.CANNOT_UNDERSTAND,
}


def status_of(error: Exception) -> Status:
    """Return the status that answers this error.

    What may pass is A7xx whatever it was: PS3.4 has no other "later" for C-STORE, and senders repeat after it. What
    nobody foresaw is 0110H; a C-STORE is never answered with success or a warning because of an error.
    """
    for kind, status in _OURS.items():
        if isinstance(error, kind):
            return status
    try:
        failure = failure_of(error)
    except LookupError:
        return Status.PROCESSING_FAILURE
    return Status.OUT_OF_RESOURCES if failure.is_temporary else failure.status


def comment_of(error: Exception) -> str:
    """Return the Error Comment: a code of ours, which docs/errors.md explains; nothing of what was sent.

    Errors of libraries have a ``code`` or a ``reason`` too, some of them with foreign words in it.
    """
    if isinstance(error, DicomError | DimseError | JobsError | ModelError):
        return error.code[:COMMENT_CHARACTERS]
    return _UNFORESEEN
