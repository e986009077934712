"""What is sent and answered about policies; OpenAPI is made of these."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field

from services.jobs.intervals import Estimate
from services.jobs.operating_tables import TableRow
from services.jobs.policies import PolicyDraft, SitePolicy
from services.jobs.records import moment

CUSTOM: Final = "custom"
LISTED: Final = 50

Digest = Annotated[str, Field(pattern="^[0-9a-f]{64}$", description="sha256 of the bundle's manifest.")]
Threshold = Annotated[float, Field(ge=0.0, le=1.0, description="A film at or above it is flagged; 0 flags everything.")]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, allow_inf_nan=False)


class _Asked(BaseModel):
    # A field that is not known is refused: who misspells one would decide by something else than they think. Strict:
    # `false` is no threshold of 0.
    model_config = ConfigDict(frozen=True, allow_inf_nan=False, extra="forbid", strict=True)


class PolicyWish(_Asked):
    """What a site's films shall be decided by."""

    model_digest: Digest
    threshold: Threshold
    name: str = Field(default=CUSTOM, pattern="^[a-z0-9:._-]{1,40}$", description="What records call it.")
    prevalence: float | None = Field(
        default=None, gt=0.0, lt=1.0, description="The site's own share of unhealthy films, as far as it is known."
    )
    override_reason: str | None = Field(
        default=None,
        min_length=10,
        max_length=500,
        pattern=r"^[^\x00-\x1f\x7f]+$",
        description="Why a threshold below the sensitivity floor is right here. Kept in history and audit trail: no "
        "patient data.",
    )


class Trial(_Asked):
    """A threshold to try on films that were scored already."""

    threshold: Threshold
    model_digest: Digest | None = Field(default=None, description="Default: the model that scores now.")
    last: int = Field(default=200, ge=1, le=1000, description="How many of the site's films, the latest.")


class PolicyVersion(PolicyDraft):
    """One version of a site's policy, with what its threshold did to the model's test patients.

    ``by`` is the key or operator that set it, ``null`` where the service asks for no keys.
    """

    version: int
    at: datetime

    @classmethod
    def of(cls, policy: SitePolicy) -> PolicyVersion:
        """Return a policy as callers see it."""
        return cls(**policy.model_dump(exclude={"at_ms"}), at=moment(policy.at_ms))


class DefaultPoint(_Frozen):
    """What live workers decide by where a site has no policy for their model: version 0 in records."""

    name: str
    threshold: float
    digest: str


class PolicyDocument(_Frozen):
    """A site's policies. ``version`` is its latest, 0 where it has none; the ETag is the same number.

    ``active`` is the model that scores now; ``policy`` is what decides the site's films now, ``null`` where ``default``
    does. ``policies`` has the current one of each model, ``history`` all versions, newest first.
    """

    site: str
    version: int
    active: str | None
    policy: PolicyVersion | None
    default: DefaultPoint | None
    policies: tuple[PolicyVersion, ...]
    history: tuple[PolicyVersion, ...]
    sensitivity_floor: float


class PolicyDocuments(_Frozen):
    """The policies of all sites that the caller sees, by site; without their history."""

    policies: tuple[PolicyDocument, ...]


class ChangedFilm(_Frozen):
    """A film that the threshold would decide otherwise than it was decided."""

    id: str
    study_uid: str
    probability: float
    threshold_before: float


class ChangedFilms(_Frozen):
    """How many there are, and those with the highest probabilities."""

    total: int
    films: tuple[ChangedFilm, ...]


class Histogram(_Frozen):
    """``counts`` of probabilities between ``edges``."""

    edges: tuple[float, ...]
    counts: tuple[int, ...]


class PolicyPreview(_Frozen):
    """What a threshold would have made of films that were scored already. It decides nothing.

    ``row`` is what it did to the model's test patients, with the intervals that follow; ``null`` where no table is
    known.
    """

    site: str
    model_digest: str
    threshold: float
    films: int
    flagged_before: int
    flagged_after: int
    newly_flagged: ChangedFilms
    no_longer_flagged: ChangedFilms
    histogram: Histogram
    row: TableRow | None
    sensitivity: Estimate | None
    specificity: Estimate | None
    oldest: datetime | None
    newest: datetime | None
