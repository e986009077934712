"""What the routes work with, built once by ``app`` and handed to them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from services.api.access.guard import Guard, address_of
from services.api.access.key_ring import KeyRing
from services.api.access.sessions import Sessions
from services.api.access.throttles import KeyQuotas
from services.api.backpressure import Backpressure
from services.api.changes import Changes
from services.api.completions import Completions
from services.api.drawings import Drawings
from services.api.event_streams import EventStreams
from services.api.metrics import GatewayMetrics
from services.api.page import Page
from services.api.readiness import Readiness
from services.api.scopes import Caller
from services.api.shared_answers import SharedLook, SharedPages
from services.api.site_policies import SitePolicies
from services.api.upkeep import GatewayUpkeep
from services.api.uploads import Uploads
from services.jobs.activation import BundleActivation
from services.jobs.errors import JobNotFound
from services.jobs.feedback import Feedback
from services.jobs.ledger.entries import AuditEvent
from services.jobs.ledger.trail import AuditTrail
from services.jobs.queue import JobQueue
from services.jobs.records import JobState, Record
from services.jobs.spool import Spool
from services.jobs.worklist import Worklist


@dataclass(frozen=True, kw_only=True)
class Gateway:
    """The parts of one gateway process. ``keys`` is ``None`` where it is open, on loopback."""

    queue: JobQueue
    activation: BundleActivation
    policies: SitePolicies
    worklist: Worklist
    feedback: Feedback
    revision: SharedLook
    pages: SharedPages
    spool: Spool
    uploads: Uploads
    drawings: Drawings
    completions: Completions
    changes: Changes
    streams: EventStreams
    readiness: Readiness
    upkeep: GatewayUpkeep
    backpressure: Backpressure
    metrics: GatewayMetrics
    page: Page
    keys: KeyRing | None
    sessions: Sessions
    quotas: KeyQuotas
    guard: Guard
    audit: AuditTrail

    async def film(self, film_id: str, caller: Caller, *, wait_seconds: float = 0) -> Record:
        """Return a film's record as it is, or as soon as it is done within ``wait_seconds``.

        Raises
        ------
        JobNotFound
            If there is none, or it is of a site that does not exist for this caller: both answer alike, at once.
        QueueUnavailable
            If Redis does not answer.
        Unauthenticated
            If the caller's key ended while it waited.
        """
        record = await self.queue.record(film_id)
        if not caller.sees(record.site):
            raise JobNotFound("no such instance")
        if wait_seconds and record.state is not JobState.DONE:
            return await self.outcome(record, caller, wait_seconds)
        return record

    async def outcome(self, record: Record, caller: Caller, seconds: float) -> Record:
        """Return the record of a film that the caller sees, now open, as soon as it is done, or after ``seconds``.

        Raises
        ------
        JobNotFound, QueueUnavailable
            As ``Completions.wait``.
        Unauthenticated
            If the caller's key ended meanwhile: an outcome of later is not for it.
        """
        record = await self.completions.wait(record, seconds)
        self.guard.check_again(caller)
        return record

    def stop_waiting(self) -> None:
        """Answer who waits for an outcome, and end event streams: a process that stops is not held up by them."""
        self.completions.stop_waiting()
        self.streams.stop()

    def note(self, event: AuditEvent, film: Record, request: Request) -> None:
        """Write into the audit trail what the caller of a request did with a film."""
        caller = request.state.caller
        self.audit.note(
            event,
            film_id=film.id,
            study_uid=film.study_uid,
            site=film.site,
            who=caller.key_id,
            source=address_of(request),
        )


async def _gateway(request: Request) -> Gateway:
    gateway = request.app.state.gateway
    assert isinstance(gateway, Gateway)
    return gateway


GatewayDependency = Annotated[Gateway, Depends(_gateway)]


async def _caller(request: Request) -> Caller:
    caller = request.state.caller
    assert isinstance(caller, Caller)
    return caller


# Set by the guard, which has been here before on every route that is not open to all.
CallerDependency = Annotated[Caller, Depends(_caller)]
