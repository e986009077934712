"""Builds the parts that the routes work with, in one place. Nothing connects here."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

from redis.asyncio import Redis

from services.api.access.guard import Guard
from services.api.access.key_ring import KeyRing, key_ring
from services.api.access.sessions import Sessions
from services.api.access.throttles import FailureThrottle, KeyQuotas
from services.api.backpressure import Backpressure
from services.api.changes import Changes
from services.api.completions import Completions
from services.api.drawings import Drawings
from services.api.event_streams import EventStreams
from services.api.gateway import Gateway
from services.api.metrics import GatewayMetrics
from services.api.page import read_page
from services.api.readiness import Readiness
from services.api.shared_answers import Pace, SharedLook, SharedPages
from services.api.site_policies import SitePolicies
from services.api.upkeep import GatewayUpkeep
from services.api.uploads import Uploads
from services.jobs.activation import BundleActivation
from services.jobs.feedback import Feedback
from services.jobs.ledger.restore import LedgerReader
from services.jobs.ledger.trail import AuditTrail
from services.jobs.operating_tables import OperatingTables
from services.jobs.policies import Policies
from services.jobs.queue import JobQueue
from services.jobs.recent import RecentFilms
from services.jobs.reconcile import deadlines_of, limits_of, reconcile
from services.jobs.settings import ApiSettings, AuditSettings, QueueSettings, SpoolSettings
from services.jobs.spool import Spool
from services.jobs.worklist import Worklist

# A thousand dashboards that poll are then ten looks at Redis a second; one who is alone waits for nothing.
_REVISION_PACE: Final = Pace(seconds=0.1, at_once=4)


def gateway_of(
    client: Redis, *, api: ApiSettings, spool: SpoolSettings, audit: AuditSettings, films: QueueSettings
) -> Gateway:
    """Return the parts of a gateway, wired; raise as ``create_app``."""
    keys, limits, trail = key_ring(api.host, api.keys_file), limits_of(api), AuditTrail(audit.directory, "api")
    queue, activation, kept = JobQueue(client, limits=limits), BundleActivation(client), Spool.of(spool)
    sessions = Sessions(client, hours=api.session_hours, is_secure=api.secure_cookie)
    failures = FailureThrottle(per_minute=api.failed_sign_ins_per_minute)
    guard = Guard(keys=keys, sessions=sessions, failures=failures, audit=trail)
    deadlines, worklist = deadlines_of(films), Worklist(client, limits=limits)
    compare = partial(reconcile, queue, kept, deadlines=deadlines, ledger=LedgerReader(client, trail))
    backpressure = Backpressure(backlog=api.routine_depth)
    completions = Completions(queue, on_done=backpressure.film_done)
    changes = Changes(client, on_change=completions.hear)
    return Gateway(
        queue=queue,
        activation=activation,
        policies=_policies(client, queue, activation, api=api, films=films),
        worklist=worklist,
        feedback=Feedback(client, queue, worklist, api),
        revision=SharedLook(worklist.revision, pace=_REVISION_PACE),
        pages=SharedPages(),
        spool=kept,
        uploads=Uploads(kept, api),
        drawings=Drawings(),
        completions=completions,
        changes=changes,
        streams=EventStreams(changes, guard),
        readiness=Readiness(queue, kept, compare=partial(_begin_anew, changes, partial(compare, is_start=True))),
        upkeep=GatewayUpkeep(queue, deadlines=deadlines, compare=compare, every_seconds=api.upkeep_seconds),
        backpressure=backpressure,
        metrics=_metrics(api, spool, films, keys),
        page=read_page(),
        keys=keys,
        sessions=sessions,
        quotas=_quotas(api),
        guard=guard,
        audit=trail,
    )


def _policies(
    client: Redis, queue: JobQueue, activation: BundleActivation, *, api: ApiSettings, films: QueueSettings
) -> SitePolicies:
    return SitePolicies(
        policies=Policies(client),
        tables=OperatingTables(client),
        recent=RecentFilms(client),
        queue=queue,
        activation=activation,
        sites=films.sites,
        floor=api.policy_sensitivity_floor,
    )


def _metrics(api: ApiSettings, spool: SpoolSettings, films: QueueSettings, keys: KeyRing | None) -> GatewayMetrics:
    metrics = GatewayMetrics()
    metrics.name_sites(films.sites)
    metrics.publish_limits(limits_of(api), spool_bytes=spool.quota_bytes)
    if keys is not None:
        metrics.watch_keys(keys.state)
    return metrics


async def _begin_anew(changes: Changes, compare: Callable[[], Awaitable[object]]) -> None:
    """Do what another Redis than before asks for, or one that may have forgotten."""
    changes.doubt()
    await compare()


def _quotas(api: ApiSettings) -> KeyQuotas:
    return KeyQuotas(
        uploads_in_flight=api.max_uploads_per_key,
        uploads_per_second=api.upload_rate_per_key,
        burst=api.upload_burst_per_key,
    )
