"""Why an instance is not taken although it could be read, or has no result as DICOM.

The first three are one instance's fault; the others of its request go on.

DicomError
├── SopClassNotTaken       no class of which films or rejection notes come
├── StudyMismatch          of another study than the request says
└── InstanceUnidentified   no SOP class or no instance UID: nobody could ask for it, or be told of it

ResultError
├── FilmNotDicom           a PNG or JPEG
├── FilmNotReportable      DICOM whose header cannot be repeated, or that is no radiograph
├── FilmGone               past retention: what a result repeats of it is not there any more
└── DicomExtraMissing      highdicom is not installed
"""

from __future__ import annotations

from typing import ClassVar


class DicomError(Exception):
    """Root of this package's errors. The message quotes nothing of what was sent."""

    code: ClassVar[str] = "dicom_error"
    retryable: ClassVar[bool] = False


class SopClassNotTaken(DicomError):
    """The instance is of a SOP class of which nothing is taken, a CT image say."""

    code: ClassVar[str] = "sop_class_not_taken"


class StudyMismatch(DicomError):
    """The instance is of another study than the one that its request is for (PS3.18 10.5.1.2)."""

    code: ClassVar[str] = "study_mismatch"


class InstanceUnidentified(DicomError):
    """The instance has no SOP Class UID (0008,0016) or no SOP Instance UID (0008,0018)."""

    code: ClassVar[str] = "instance_unidentified"


class ResultError(Exception):
    """A film's record is known, but no DICOM object can be made of it. The message quotes nothing of the film."""

    code: ClassVar[str] = "result_error"
    retryable: ClassVar[bool] = False


class FilmNotDicom(ResultError):
    """The film came as PNG or JPEG, which has no patient and no study that an archive could know."""

    code: ClassVar[str] = "film_not_dicom"


class FilmNotReportable(ResultError):
    """The film's DICOM header cannot be repeated in a result, or the film is no radiograph."""

    code: ClassVar[str] = "film_not_reportable"


class FilmGone(ResultError):
    """The film is past its retention, and its header with it; its record stays."""

    code: ClassVar[str] = "film_gone"


class DicomExtraMissing(ResultError):
    """The service was installed without its extra ``dicom``, which makes DICOM objects."""

    code: ClassVar[str] = "dicom_extra_missing"
