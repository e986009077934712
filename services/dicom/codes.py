"""The codes that STOW-RS and DIMSE answer with, and the SOP classes that are taken: one table for both.

The numbers are the same on both ways: Failure Reason (0008,1197) of PS3.18 Table 10.5.3-1 is a status of PS3.4 B.2.3
or PS3.7 C. The conformance statement is made of these tables.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from model.errors import ImageError
from services.dicom.errors import InstanceUnidentified, SopClassNotTaken, StudyMismatch
from services.jobs import errors as jobs


class Status(IntEnum):
    """A status of C-STORE, and a failure or warning reason of STOW-RS."""

    SUCCESS = 0x0000
    PROCESSING_FAILURE = 0x0110
    SOP_CLASS_NOT_SUPPORTED = 0x0122
    NOT_AUTHORISED = 0x0124
    OUT_OF_RESOURCES = 0xA700
    MISMATCH = 0xA900  # Data Set Does Not Match SOP Class; STOW: of another study than the request's
    CANNOT_UNDERSTAND = 0xC000


@dataclass(frozen=True, kw_only=True)
class SopClass:
    """A class of objects that is taken.

    Attributes
    ----------
    uid, name
        As in PS3.6 Table A-1.
    is_film
        Whether its instances are films that get an outcome; those of others are read for what they say of films.
    """

    uid: str
    name: str
    is_film: bool


KEY_OBJECTS: Final = "1.2.840.10008.5.1.4.1.1.88.59"
SOP_CLASSES: Final = (
    SopClass(uid="1.2.840.10008.5.1.4.1.1.1", name="Computed Radiography Image Storage", is_film=True),
    SopClass(uid="1.2.840.10008.5.1.4.1.1.1.1", name="Digital X-Ray Image Storage - For Presentation", is_film=True),
    # Ends not_assessed(for_processing): its sender learns from the worklist, not from a refusal that nobody reads.
    SopClass(uid="1.2.840.10008.5.1.4.1.1.1.1.1", name="Digital X-Ray Image Storage - For Processing", is_film=True),
    SopClass(uid=KEY_OBJECTS, name="Key Object Selection Document Storage", is_film=False),
)
TAKEN_CLASSES: Final = frozenset(sop_class.uid for sop_class in SOP_CLASSES)
FILM_CLASSES: Final = frozenset(sop_class.uid for sop_class in SOP_CLASSES if sop_class.is_film)
COMPREHENSIVE_3D_SR: Final = "1.2.840.10008.5.1.4.1.1.88.34"
SECONDARY_CAPTURE: Final = "1.2.840.10008.5.1.4.1.1.7"
# What is made of films, and sent to whoever is to have it.
PRODUCED: Final = (
    SopClass(uid=COMPREHENSIVE_3D_SR, name="Comprehensive 3D SR Storage", is_film=False),
    SopClass(uid=SECONDARY_CAPTURE, name="Secondary Capture Image Storage", is_film=False),
    SopClass(uid=KEY_OBJECTS, name="Key Object Selection Document Storage", is_film=False),
)


@dataclass(frozen=True, kw_only=True)
class Failure:
    """How the failure of one instance is answered; ``is_temporary`` where the same instance may be taken later."""

    status: Status
    is_temporary: bool = False


# A class answers for its subclasses.
FAILURES: Final[Mapping[type[Exception], Failure]] = {
    ImageError: Failure(status=Status.CANNOT_UNDERSTAND),
    SopClassNotTaken: Failure(status=Status.SOP_CLASS_NOT_SUPPORTED),
    StudyMismatch: Failure(status=Status.MISMATCH),
    InstanceUnidentified: Failure(status=Status.CANNOT_UNDERSTAND),
    jobs.QueueFull: Failure(status=Status.OUT_OF_RESOURCES, is_temporary=True),
    jobs.SiteShareUsed: Failure(status=Status.OUT_OF_RESOURCES, is_temporary=True),
    jobs.SiblingUnseen: Failure(status=Status.PROCESSING_FAILURE, is_temporary=True),
    jobs.SpoolFull: Failure(status=Status.OUT_OF_RESOURCES, is_temporary=True),
    jobs.QueueUnavailable: Failure(status=Status.PROCESSING_FAILURE, is_temporary=True),
    jobs.SpoolUnavailable: Failure(status=Status.PROCESSING_FAILURE, is_temporary=True),
}


def failure_of(error: Exception) -> Failure:
    """Return how an instance that failed with this error is answered; raise ``LookupError`` where nothing says so."""
    for ancestor in type(error).__mro__:
        if ancestor in FAILURES:
            return FAILURES[ancestor]
    raise LookupError(f"{type(error).__name__} has no status in DICOM")
