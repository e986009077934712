"""Bodies that the gateway answers with, besides the record itself; OpenAPI is made of these."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from model.manifest import Certificate
from services.api.scopes import Caller, Role
from services.jobs.operating_tables import TableRow
from services.jobs.records import ModelReference, PastDecision, Priority, Record
from services.jobs.status import PreparationState
from services.jobs.worklist import RollUp, StudySummary


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, allow_inf_nan=False)


class InvalidParameter(_Frozen):
    """One parameter that was refused; its value is not repeated."""

    parameter: str
    message: str


class Problem(_Frozen):
    """RFC 9457. ``code`` is stable; ``instance`` names this occurrence, as the service's log does."""

    type: str = "about:blank"
    status: int
    title: str
    detail: str
    instance: str
    code: str
    errors: tuple[InvalidParameter, ...] | None = Field(default=None, description="Only with invalid_parameter.")


class StudyLinks(_Frozen):
    """Where to go next, relative to the service's root."""

    self: str


class StudyLine(_Frozen):
    """One line of the worklist: a study's roll-up, or `blind` in a list of studies to be read without it."""

    study_uid: str
    site: str
    priority: Priority
    outcome: RollUp | Literal["blind"]
    overdue: bool
    submitted_at: datetime
    updated_at: datetime
    films: int
    pending: int
    unread: int
    links: StudyLinks

    @classmethod
    def of(cls, study: StudySummary, *, is_blind: bool = False) -> StudyLine:
        """Return the line of a study, without its outcome in a list of those that are to be read so."""
        return cls(
            study_uid=study.study_uid,
            site=study.site,
            priority=study.priority,
            outcome="blind" if is_blind else study.outcome,
            overdue=study.overdue,
            submitted_at=study.submitted_at,
            updated_at=study.updated_at,
            films=study.films,
            pending=study.pending,
            unread=study.unread,
            links=StudyLinks(self=f"/v1/studies/{study.study_uid}?site={study.site}"),
        )


class StudyPage(_Frozen):
    """A page of the worklist. ``complete`` says that nothing follows it."""

    studies: tuple[StudyLine, ...]
    next_cursor: str | None
    complete: bool


class StudyDetail(StudyLine):
    """A study and all of its films, oldest first."""

    instances: tuple[Record, ...]


class PastDecisions(_Frozen):
    """What a film was before it was scored again, oldest first. What it is now is in its record."""

    id: str
    decisions: tuple[PastDecision, ...]


class LoadedModel(ModelReference):
    """A model that live workers serve, and the operating point at which they decide.

    ``labels`` are the findings it names. ``has_heatmap``: its scored films have heat maps. ``has_embedding_gate``:
    films unlike those that it knows end ``not_assessed(out_of_distribution)``. ``probability_rule``: whether the
    probability is the network's own answer to *any finding* (``softmax``), or follows from its findings
    (``any_of_findings``). ``precision``: what it was certified in; ``inference_precisions``: what its workers compute
    it in. ``inputs``: what it looks at; age and sex may be unknown. ``sandboxes``: what confines the decoders of its
    workers, ``seccomp`` or ``limits`` alone.
    """

    labels: tuple[str, ...]
    precision: str
    inference_precisions: tuple[str, ...]
    has_heatmap: bool
    has_embedding_gate: bool
    probability_rule: str
    inputs: tuple[str, ...]
    operating_point: str
    threshold: float
    workers: int
    providers: tuple[str, ...]
    sandboxes: tuple[str, ...]


class ServingWorker(_Frozen):
    """A live worker: which model it serves and how, and how a candidate fares there (``null``: it was asked for none).

    ``provider``: where its network runs; ``precision``: what it is computed in there; ``threads``: by how many,
    all inferences that run at once together.
    """

    worker: str
    digest: str
    provider: str
    precision: str
    threads: int
    candidate: str | None
    candidate_state: PreparationState | None
    candidate_code: str | None


class ActiveBundle(_Frozen):
    """What operators have activated. ``active`` is ``null`` where nobody ever did: workers serve what they are set to.

    ``candidate`` is being prepared; ``refused`` is the last one that did not become active, ``refused_code`` says why.
    """

    active: str | None
    active_since: datetime | None
    previous: str | None
    candidate: str | None
    candidate_since: datetime | None
    refused: str | None
    refused_code: str | None
    refused_at: datetime | None


class LoadedModels(_Frozen):
    """Every model that live workers serve. Empty means: nothing is being scored at the moment."""

    models: tuple[LoadedModel, ...]
    activation: ActiveBundle
    workers: tuple[ServingWorker, ...]


class OperatingPointEvidence(_Frozen):
    """A named threshold and what it was measured to do. Figures that the bundle does not give are ``null``.

    With a ``certificate`` the sensitivity is not only measured, but certified.
    """

    name: str
    threshold: float
    evidence: str
    certificate: Certificate | None = None
    positives: int
    negatives: int
    sensitivity: float | None = None
    specificity: float | None = None
    f3: float | None = None
    f3_flag_everything: float | None = None


class ThresholdTable(_Frozen):
    """What every threshold does to the model's test patients.

    ``rows`` rise by threshold, from the one that flags everything to the one that flags nothing. A threshold amounts to
    the first row at or above it.
    """

    positives: int
    negatives: int
    evidence: str
    rows: tuple[TableRow, ...]


class OperatingPoints(_Frozen):
    """The named points of one model, and the table of all thresholds; ``null`` where nobody has told it yet."""

    model: ModelReference
    operating_points: tuple[OperatingPointEvidence, ...]
    table: ThresholdTable | None


class SessionFacts(_Frozen):
    """Who is signed in. ``sites`` is ``null`` for every site; ``expires_at`` is when a key has to be shown again.

    ``key_id`` is ``null`` where the service asks for no keys.
    """

    key_id: str | None
    label: str | None
    roles: tuple[Role, ...]
    sites: tuple[str, ...] | None
    expires_at: datetime | None

    @classmethod
    def of(cls, caller: Caller) -> SessionFacts:
        """Return what a caller may know of itself."""
        return cls(
            key_id=caller.key_id,
            label=caller.label,
            roles=tuple(role for role in Role if caller.may(role)),
            sites=None if caller.sites is None else tuple(sorted(caller.sites)),
            expires_at=caller.until,
        )


class Live(_Frozen):
    """The process answers."""

    status: Literal["live"] = "live"


class Ready(_Frozen):
    """A film that is sent now can be accepted durably."""

    status: Literal["ready"] = "ready"
