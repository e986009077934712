"""Every metric of the worker; declared here and nowhere else (PROTOCOLS.md §5).

Label values come from closed sets of ours: stages, reasons, outcomes, priorities, the bundles that are loaded, and the
sites that the settings name.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from prometheus_client import Counter, Gauge, Histogram

from model.decision import Decision, Outcome, Policy
from model.errors import BundleError, Reason
from services.jobs.records import ModelReference, Priority
from services.worker.drift import ScoreDrift, ScoreReference
from services.worker.expectation import FlagShare

_SCORE_BUCKETS: Final = tuple(round(0.05 * step, 2) for step in range(1, 21))
_STAGE_BUCKETS: Final = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
_WAIT_BUCKETS: Final = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 900.0, 3600.0, 14400.0)
_OTHER_SITES: Final = "other"

GATE = Counter("cxr_gate_total", "Films that ended not_assessed, by reason.", ["reason"])
DECISIONS = Counter(
    "cxr_decisions_total", "Films that got an outcome from this worker.", ["site", "outcome", "model", "policy"]
)
SCORE = Histogram("cxr_score", "Calibrated probability of unhealthy of scored films.", buckets=_SCORE_BUCKETS)
STAGE_DURATION = Histogram(
    "cxr_stage_duration_seconds", "Time a film spent in a stage.", ["stage"], buckets=_STAGE_BUCKETS
)
END_TO_END_DURATION = Histogram(
    "cxr_end_to_end_duration_seconds", "From the whole upload to the outcome.", ["lane"], buckets=_WAIT_BUCKETS
)
BATCH_SIZE = Histogram("cxr_batch_size", "Films per inference.", buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256))
RETRIES = Counter("cxr_retries_total", "Transient failures after which a film waits for another attempt.", ["code"])
PICTURES_LOST = Counter(
    "cxr_pictures_lost_total",
    "Previews and heat maps that could not be kept; their films lost nothing else.",
    ["picture", "code"],
)
HEARTBEAT = Gauge("cxr_worker_heartbeat_timestamp_seconds", "When this worker last kept its films alive.")
IN_FLIGHT = Gauge("cxr_worker_in_flight_films", "Films this worker holds.")
AUDIT_WRITABLE = Gauge("cxr_audit_writable", "Whether the last write to the audit trail worked.")
READY = Gauge("cxr_worker_ready", "1 while the worker may be counted on, else 0.")
MODEL_INFO = Gauge(
    "cxr_model_info",
    "Bundles that are loaded: the one that is serving, and a candidate; always 1.",
    ["digest", "role", "name", "version", "provider", "precision"],
)
BUNDLES_REFUSED = Counter("cxr_bundles_refused_total", "Candidate bundles that this worker refused.", ["code"])
POLICIES_READ = Gauge(
    "cxr_policies_read_timestamp_seconds", "When this worker last looked what the sites' policies are, by its clock."
)
POLICY_FLAG_SHARE = Gauge(
    "cxr_policy_flag_share",
    "Share of scored films that a policy is expected to flag, by its bundle's test films: low, high, and expected"
    " where the site has told its prevalence.",
    ["site", "model", "policy", "bound"],
)
PSI = Gauge(
    "cxr_psi",
    "Population stability index of the last scores against the bundle's test films; NaN below 200 scores.",
    ["digest"],
)
PSI_FILMS = Gauge("cxr_psi_films", "Scores that cxr_psi compares, of the last 1000.", ["digest"])
PSI_REFERENCE_FILMS = Gauge(
    "cxr_psi_reference_films", "Test films that cxr_psi compares with; 0 where the bundle brings none.", ["digest"]
)
WORKER_INFO = Gauge(
    "cxr_worker_info", "How this worker was started; always 1.", ["provider", "threads", "decoders", "sandbox"]
)


@dataclass(frozen=True, kw_only=True)
class ShownBundle:
    """A loaded bundle as metrics show it: what it is called, where it runs, and what it is computed in.

    ``reference`` is what its scores are compared with, where it brought something.
    """

    model: ModelReference
    provider: str
    precision: str
    reference: ScoreReference | None = None


# Set once, at start. Sites are named by whoever holds a key, so that a scrape could grow without end.
_named_sites: frozenset[str] = frozenset()
# By the short digest of the bundles that are loaded; those before them are forgotten.
_drifts: dict[str, ScoreDrift] = {}

# What alerts ask for is there from the first scrape on: a counter that appears with its first event hides that event.
for _reason in Reason:
    GATE.labels(_reason)
for _lane in Priority:
    END_TO_END_DURATION.labels(_lane)
for _error in BundleError.__subclasses__():
    BUNDLES_REFUSED.labels(_error.code)


def short(digest: str) -> str:
    """Return the part of a digest that suffices to tell bundles apart in a label."""
    return digest[:12]


def name_sites(sites: Iterable[str]) -> None:
    """Count the films of these sites under their names; those of others are counted as ``other``."""
    global _named_sites
    _named_sites = frozenset(sites)


def all_sites() -> frozenset[str]:
    """Return every name that sites have in labels."""
    return _named_sites | {_OTHER_SITES}


def shown_site(site: str) -> str:
    """Return what a site is called in labels."""
    return site if site in _named_sites else _OTHER_SITES


def shown_policy(policy: Policy | None) -> str:
    """Return what a policy is called in labels; nothing where none decided."""
    return f"{policy.name}/{policy.version}" if policy else ""


def show_policies(shares: Iterable[tuple[Policy, FlagShare]]) -> None:
    """Publish what each policy that decides films now is expected to flag, and nothing of those before.

    Its outcomes are counted from 0 on: a share of flagged films must not be missing because none was flagged. Sites
    that share the label ``other`` share their widest bounds.
    """
    bounds: dict[tuple[str, str, str], FlagShare] = {}
    for policy, share in shares:
        names = (shown_site(policy.site), short(policy.model_digest), shown_policy(policy))
        bounds[names] = share if names not in bounds else bounds[names].widened_by(share)
    POLICY_FLAG_SHARE.clear()
    for (site, model, name), share in bounds.items():
        for bound, value in share.by_bound():
            POLICY_FLAG_SHARE.labels(site, model, name, bound).set(value)
        for outcome in (Outcome.FLAGGED, Outcome.NOT_FLAGGED):
            DECISIONS.labels(site, outcome, model, name)


def show_bundles(*, serving: ShownBundle, candidate: ShownBundle | None = None) -> None:
    """Publish which bundles are loaded, and nothing of those before."""
    MODEL_INFO.clear()
    for role, shown in (("serving", serving), ("candidate", candidate)):
        if shown is not None:
            model = shown.model
            MODEL_INFO.labels(
                short(model.digest), role, model.name, model.version, shown.provider, shown.precision
            ).set(1)
    _watch_drift({short(shown.model.digest): shown.reference for shown in (serving, candidate) if shown is not None})


def _watch_drift(references: dict[str, ScoreReference | None]) -> None:
    """Compare the scores of these bundles; of one that stays, the scores that are known stay too."""
    for digest in _drifts.keys() - references.keys():
        del _drifts[digest]
        for gauge in (PSI, PSI_FILMS, PSI_REFERENCE_FILMS):
            gauge.remove(digest)
    for digest in references.keys() - _drifts.keys():
        _show_drift(digest, _drifts.setdefault(digest, ScoreDrift(references[digest])))


def _show_drift(digest: str, drift: ScoreDrift) -> None:
    PSI.labels(digest).set_function(lambda: drift.index)
    PSI_FILMS.labels(digest).set_function(lambda: drift.films)
    PSI_REFERENCE_FILMS.labels(digest).set(drift.reference_films)


def describe(*, provider: str, threads: int, decoders: int, sandbox: str) -> None:
    """Publish how this worker runs; once, at start."""
    WORKER_INFO.labels(provider, str(threads), str(decoders), sandbox).set(1)


def observe_stages(**milliseconds: float | None) -> None:
    """Record how long a film was in each stage; ``None`` where it did not get there."""
    for stage, duration in milliseconds.items():
        if duration is not None:
            STAGE_DURATION.labels(stage).observe(duration / 1000)


def count_decision(
    decision: Decision, *, site: str, priority: Priority, model: ModelReference, total_ms: float
) -> None:
    """Count one finished film; call it only where this worker's finish was the one that counted."""
    DECISIONS.labels(shown_site(site), decision.outcome, short(model.digest), shown_policy(decision.policy)).inc()
    END_TO_END_DURATION.labels(priority).observe(total_ms / 1000)
    if decision.reason is not None:
        GATE.labels(decision.reason).inc()
    if decision.probability is not None:
        SCORE.observe(decision.probability)
        if (drift := _drifts.get(short(model.digest))) is not None:
            drift.add(decision.probability)
