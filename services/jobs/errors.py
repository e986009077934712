"""What can go wrong between a film's acceptance and its record.

JobsError
├── JobNotFound          no such instance at this site
├── StudyNotFound        no such study at this site
├── PictureGone          a picture of a film is not in the spool, or no longer as it was kept
├── QueueFull            the backlog is at its limit; nothing was written
├── QueueUnavailable     Redis does not answer, or refuses to write; the outcome of a submit is then unknown
│   └── QueueUnsafe      Redis answers, but its settings could lose an acknowledged film
├── SpoolFull            the disk or the spool's quota is used up; nothing was kept
└── SpoolUnavailable     the spool directory cannot be written or read
"""

from __future__ import annotations

from typing import ClassVar


class JobsError(Exception):
    """Root of this package's errors."""

    code: ClassVar[str] = "jobs_error"
    retryable: ClassVar[bool] = False


class JobNotFound(JobsError):
    """No instance of this id at this site."""

    code: ClassVar[str] = "instance_not_found"


class StudyNotFound(JobsError):
    """No study of this UID at this site."""

    code: ClassVar[str] = "study_not_found"


class PictureGone(JobsError):
    """A picture that was kept is not there any more, or is not what was kept."""

    code: ClassVar[str] = "picture_gone"


class QueueFull(JobsError):
    """The backlog is at its limit. Refused inside the submit script, so nothing was written."""

    code: ClassVar[str] = "queue_full"
    retryable: ClassVar[bool] = True


class QueueUnavailable(JobsError):
    """Redis does not answer or refuses to write. Whether a submit took effect is unknown; the spool file stays."""

    code: ClassVar[str] = "queue_unavailable"
    retryable: ClassVar[bool] = True


class QueueUnsafe(QueueUnavailable):
    """Redis answers, but without AOF, with an evicting policy, or as a replica: it could lose acknowledged films."""

    code: ClassVar[str] = "queue_unsafe"


class RecordCorrupt(QueueUnavailable):
    """What is stored of a film cannot be read. Never replaced by a default, which could look healthy."""

    code: ClassVar[str] = "record_corrupt"
    retryable: ClassVar[bool] = False


class SpoolFull(JobsError):
    """No room for the payload; nothing was kept."""

    code: ClassVar[str] = "spool_full"
    retryable: ClassVar[bool] = True


class SpoolUnavailable(JobsError):
    """The spool directory cannot be written or read."""

    code: ClassVar[str] = "spool_unavailable"
    retryable: ClassVar[bool] = True
