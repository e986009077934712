"""The task of one target: lease, send, settle. One for each, so that a dead target holds up no other.

A round leases as many results as the circuit lets through, and ends when all of them are settled, so that decisions of
one film reach a target in their order. Whoever dies in between has its results come again when their lease is over;
a repeat carries the same UIDs. Knows targets only by name.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import Final

from services.delivery import metrics
from services.delivery.channels import Channel
from services.delivery.circuit import Circuit
from services.delivery.metrics import Attempt
from services.delivery.verdicts import Delivered, Failed, Gone, NothingToSend, Outcome, Refused, Unbuildable, Unbuilt
from services.delivery.waiting import Backoff
from services.jobs.delivery_outbox import DeliveryOutbox, Owed
from services.jobs.errors import QueueUnavailable
from services.jobs.ledger.entries import AuditEvent, Note
from services.jobs.ledger.trail import AuditTrail
from services.jobs.probes import Readiness

logger = logging.getLogger(__name__)

_HOUR_MS: Final = 3_600_000


@dataclass(frozen=True, kw_only=True)
class Patience:
    """How long a result is tried: until it has failed ``attempts`` times, and is ``hours`` old."""

    attempts: int
    hours: float
    backoff: Backoff

    def is_over(self, owed: Owed) -> bool:
        """Return whether the failure that has just been was the last."""
        return owed.attempts + 1 >= self.attempts and owed.now_ms - owed.owed_since_ms >= self.hours * _HOUR_MS


class TargetLoop:
    """Delivers to one target until told to stop."""

    def __init__(
        self,
        name: str,
        *,
        outbox: DeliveryOutbox,
        channel: Channel,
        circuit: Circuit,
        patience: Patience,
        readiness: Readiness,
        audit: AuditTrail,
        idle_seconds: float,
    ) -> None:
        self._name = name
        self._outbox = outbox
        self._channel = channel
        self._circuit = circuit
        self._patience = patience
        self._readiness = readiness
        self._audit = audit
        self._idle_seconds = idle_seconds

    async def run(self, stop: asyncio.Event) -> None:
        """Deliver until ``stop``, and finish what is under way; where it is cancelled meanwhile, give that back."""
        while not stop.is_set():
            pause = await self._round()
            if pause > 0:
                await _until(stop, seconds=pause)

    async def _round(self) -> float:
        """Settle what one lease hands out; return how long to wait before the next, in seconds."""
        try:
            leased = await self._outbox.lease(self._name, count=self._circuit.width)
        except QueueUnavailable:
            self._readiness.set_queue_reachable(False)
            return self._idle_seconds
        self._readiness.set_queue_reachable(True)
        if not leased:
            return self._idle_seconds
        async with asyncio.TaskGroup() as group:
            for owed in leased:
                group.create_task(self._deliver(owed))
        return self._circuit.pause()

    async def _deliver(self, owed: Owed) -> None:
        try:
            with metrics.DURATION.labels(self._name).time():
                outcome = await self._channel.deliver(owed)
        except asyncio.CancelledError:
            await self._give_back(owed)
            raise
        except Exception:  # the outermost guard of one result: a fault of ours with one film must not end the others
            logger.exception("a result cannot be sent", extra={"action": "delivery_broken", **self._facts(owed)})
            outcome = Unbuilt(reason="internal_error")
        self._tell_circuit(outcome)
        try:
            attempt = await self._settle(owed, outcome)
        except QueueUnavailable:
            # What the target has got comes again when its lease is over, and is then the same object once more.
            self._readiness.set_queue_reachable(False)
        else:
            self._note(owed, outcome, attempt)

    async def _settle(self, owed: Owed, outcome: Outcome) -> Attempt:
        match outcome:
            case Delivered():
                await self._outbox.delivered(owed)
                return Attempt.DELIVERED
            case NothingToSend():
                await self._outbox.delivered(owed)
                return Attempt.NOTHING_TO_SEND
            case Gone():
                await self._outbox.disable(self._name, reason="gone")
                await self._outbox.give_back(owed)
                return Attempt.GIVEN_BACK
            case Refused() | Unbuildable():
                await self._outbox.dead(owed, reason=outcome.reason)
                return Attempt.DEAD
            case Failed() | Unbuilt():
                return await self._settle_failure(owed, outcome)

    async def _settle_failure(self, owed: Owed, outcome: Failed | Unbuilt) -> Attempt:
        if self._patience.is_over(owed):
            await self._outbox.dead(owed, reason=outcome.reason)
            return Attempt.DEAD
        asked_seconds = outcome.wait_seconds if isinstance(outcome, Failed) else 0.0
        wait_seconds = self._patience.backoff.wait(owed.attempts + 1, at_least=asked_seconds)
        await self._outbox.later(owed, wait_ms=int(1000 * wait_seconds), reason=outcome.reason)
        return Attempt.RETRIED

    async def _give_back(self, owed: Owed) -> None:
        try:
            await self._outbox.give_back(owed)
        except QueueUnavailable:
            return  # its lease ends by itself
        metrics.DELIVERIES.labels(self._name, Attempt.GIVEN_BACK).inc()

    def _tell_circuit(self, outcome: Outcome) -> None:
        was_open = self._circuit.is_open
        match outcome:
            case Delivered() | Refused():
                self._circuit.answered()
            case Failed():
                self._circuit.failed()
            case _:
                return  # nobody was asked, or the target wants nothing any more
        if self._circuit.is_open is was_open:
            return
        metrics.CIRCUIT_OPEN.labels(self._name).set(self._circuit.is_open)
        if was_open:
            logger.info("a target answers again", extra={"action": "target_answers", "target": self._name})
        else:
            logger.warning("a target is away", extra={"action": "target_away", "target": self._name})

    def _note(self, owed: Owed, outcome: Outcome, attempt: Attempt) -> None:
        metrics.DELIVERIES.labels(self._name, attempt).inc()
        facts = {**self._facts(owed), "reason": getattr(outcome, "reason", None)}
        if isinstance(outcome, Gone):
            logger.error("a target wants nothing any more", extra={"action": "target_disabled", **facts})
        elif attempt is Attempt.DEAD:
            logger.error("a result is a dead letter", extra={"action": "delivery_dead", **facts})
        elif attempt is Attempt.RETRIED:
            logger.warning("a result comes again", extra={"action": "delivery_retried", **facts})
        elif attempt is Attempt.DELIVERED:
            logger.info("result delivered", extra={"action": "delivered", **facts})
            self._audit.note_facts(Note(event=AuditEvent.SENT, facts=self._sent(owed)))

    def _facts(self, owed: Owed) -> dict[str, object]:
        return {"target": self._name, "job_id": owed.film_id, "commit": owed.commit, "attempt": owed.attempts + 1}

    def _sent(self, owed: Owed) -> dict[str, object]:
        record = owed.record
        about = {"film": owed.film_id, "study": record.study_uid, "site": record.site}
        return {**about, "target": self._name, "commit": owed.commit, "code": record.outcome}


async def _until(stop: asyncio.Event, *, seconds: float) -> None:
    """Wait, but not beyond ``stop``."""
    try:
        async with asyncio.timeout(seconds):
            await stop.wait()
    except TimeoutError:
        return
