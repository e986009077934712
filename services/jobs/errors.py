"""What can go wrong between a film's acceptance and its record.

JobsError
├── JobNotFound          no such instance at this site
├── StudyNotFound        no such study at this site
├── PictureGone          a picture of a film is not in the spool, or no longer as it was kept
├── StudyNotScored       a study that nobody can agree or disagree with: open, or not assessed
├── NotBlind             a study that does not wait to be read blind by this reader
├── TooManyAssessments   one study has as many as one may have
├── NotRescorable        this film cannot be scored again: open, or its payload is gone
│   └── FilmWithdrawn    it was withdrawn, and stays so
├── MediaTypeMismatch    declared as one format, but the bytes are another; nothing was kept
├── ClaimsNotAllowed     view, age, sex or study_uid for a film that says so itself; nothing was kept
├── SiblingUnseen        another film of the same SOPInstanceUID is there, and nobody has compared the two
├── QueueFull            the backlog is at its limit; nothing was written
├── SiteShareUsed        the caller's site has used its share of the backlog; nothing was written
├── QueueUnavailable     Redis does not answer, or refuses to write; the outcome of a submit is then unknown
│   └── QueueUnsafe      Redis answers, but its settings could lose an acknowledged film
├── SpoolFull            the disk or the spool's quota is used up; nothing was kept
├── SpoolUnavailable     the spool directory cannot be written or read
├── ActivationConflict   another operator's change of the active bundle was first
├── PoliciesMissing      a site has chosen a policy, but none for the bundle that is to become active
├── PolicyChanged        the site's policy is another version than the caller has seen
├── ModelNotKnown        nobody has kept an operating table of this model
├── BelowSensitivityFloor  a threshold that misses more than this service allows without a reason
├── BundleInUse          a bundle that somebody may still need is not removed
├── PortTaken            the address of a process' /metrics and /health cannot be bound
└── LedgerUnavailable    the audit trail cannot be written or read; nothing that serves films waits for it
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


class StudyNotScored(JobsError):
    """A study that is neither flagged nor not flagged, or not yet; nothing was written."""

    code: ClassVar[str] = "study_not_scored"


class NotBlind(JobsError):
    """A study that does not wait to be read blind, or that this reader has seen the outcome of; nothing was written."""

    code: ClassVar[str] = "not_blind"


class TooManyAssessments(JobsError):
    """One study has as many assessments as one may have; nothing was written."""

    code: ClassVar[str] = "too_many_assessments"


class NotRescorable(JobsError):
    """A film that cannot be scored again; nothing was written. The message says which reason it has."""

    code: ClassVar[str] = "not_rescorable"


class FilmWithdrawn(NotRescorable):
    """A film that was withdrawn, by its sender or by a rejection note. It stays so; nothing was written."""

    code: ClassVar[str] = "film_withdrawn"


class MediaTypeMismatch(JobsError):
    """Declared as one format, but the bytes are another."""

    code: ClassVar[str] = "media_type_mismatch"


class ClaimsNotAllowed(JobsError):
    """``study_uid``, ``view``, ``age`` or ``sex`` for a DICOM film, whose header is the only source of these."""

    code: ClassVar[str] = "claims_not_allowed"


class SiblingUnseen(JobsError):
    """Another film of the same SOPInstanceUID came since the caller looked. Refused inside the script: not written."""

    code: ClassVar[str] = "sibling_unseen"
    retryable: ClassVar[bool] = True


class QueueFull(JobsError):
    """The backlog is at its limit. Refused inside the submit script, so nothing was written."""

    code: ClassVar[str] = "queue_full"
    retryable: ClassVar[bool] = True


class SiteShareUsed(JobsError):
    """One of several sites has used its share of the backlog. Refused inside the script, so nothing was written."""

    code: ClassVar[str] = "site_share_used"
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


class LedgerUnavailable(JobsError):
    """The audit trail cannot be written or read. What was to be written is kept elsewhere and tried again."""

    code: ClassVar[str] = "ledger_unavailable"
    retryable: ClassVar[bool] = True


class ActivationConflict(JobsError):
    """Another operator activates a bundle, or has done so since this one looked. Nothing was changed."""

    code: ClassVar[str] = "activation_conflict"


class PoliciesMissing(JobsError):
    """Sites decide by policies of their own, and have none for the bundle that is to become active. Nothing changed."""

    code: ClassVar[str] = "policies_missing"


class PolicyChanged(JobsError):
    """Somebody else has set the site's policy since the caller looked. Nothing was changed."""

    code: ClassVar[str] = "policy_changed"


class ModelNotKnown(JobsError):
    """Nobody has kept an operating table of this model: no worker serves it, no operator proposes it."""

    code: ClassVar[str] = "model_not_known"


class BelowSensitivityFloor(JobsError):
    """The threshold misses more unhealthy films than this service allows without a reason. Nothing was changed."""

    code: ClassVar[str] = "below_sensitivity_floor"


class BundleInUse(JobsError):
    """A bundle that is active, served, or the one to go back to. It was not removed."""

    code: ClassVar[str] = "bundle_in_use"


class PortTaken(JobsError):
    """Another process listens on the metrics port, or the address is not this machine's."""

    code: ClassVar[str] = "port_taken"
