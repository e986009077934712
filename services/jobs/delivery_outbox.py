"""What targets outside are still owed, and how they fared: a transactional outbox in Redis, one for each target.

The scripts that decide a film enter its decision in the same step for every announced target; nothing is entered while
there is none, so films of before the first target are not sent. A decision is leased, sent, and taken off; who dies in
between has it sent once more, under the same UIDs. Only the latest decision of a film is handed out, and never while
another process sends an earlier one. Place in the walk: after it. Knows no protocol and builds no object.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any, Final

from redis.asyncio import Redis

from services.jobs import keys, lua
from services.jobs.connection import bounded
from services.jobs.deliveries import DeadLetter, Requeued, TargetStanding, dead_letter_of
from services.jobs.errors import RecordCorrupt
from services.jobs.limits import QueueLimits
from services.jobs.records import Job, PastDecision, Record
from services.jobs.stored import load_job, past_decision_of, record_of

logger = logging.getLogger(__name__)

LONGEST_WAIT_MS: Final = 3_600_000  # a wait beyond it is taken for that of a clock that went back
UNREADABLE: Final = "record_corrupt"
_LEASE_MS: Final = 120_000  # longer than any attempt may take; a process that died is noticed so late
_PATIENCE_SECONDS: Final = 5.0
_STEPS: Final = tuple(f"deliver_{step}" for step in ("announce", "disable", "end", "forget", "lease", "requeue"))


@dataclass(frozen=True, kw_only=True)
class Owed:
    """One decision that one target has not got yet, leased to the caller.

    Attributes
    ----------
    member
        ``<film id>:<commit>``; its name at this target.
    commit
        Which of the film's decisions it is, from 1 on.
    attempts
        How many failed so far.
    owed_since_ms, now_ms, leased_ms
        Since when it is owed, the moment of the lease, and its end: milliseconds since the epoch by Redis' clock.
    record
        The film as this decision made it, also where it is being scored again since.
    past
        The decisions before it, oldest first; the commit of ``past[i]`` is ``i + 1``.
    is_payload_kept
        Whether the film is here still; once it is past retention nobody brings it back.
    """

    target: str
    member: str
    film_id: str
    commit: int
    attempts: int
    owed_since_ms: int
    now_ms: int
    leased_ms: int
    job: Job
    record: Record
    past: tuple[PastDecision, ...]
    is_payload_kept: bool


class DeliveryOutbox:
    """Both ends of the outbox but its entrance. Every call raises ``QueueUnavailable`` where Redis does not answer.

    Any number may work at it. Every step may be repeated; one of a lease that is over changes nothing.
    """

    def __init__(
        self,
        redis: Redis,
        *,
        lease_ms: int = _LEASE_MS,
        limits: QueueLimits | None = None,
        source: Callable[[str], str] = lua.source,
    ) -> None:
        self._redis = redis
        self._lease_ms = lease_ms
        self._limits = limits or QueueLimits()
        self._scripts = {name: redis.register_script(source(name)) for name in _STEPS}

    async def announce(self, targets: Collection[str]) -> None:
        """Enter every decision from now on for exactly these targets; repeat it, lest a new Redis not know them."""
        await self._run("deliver_announce", *sorted(targets))

    async def lease(self, target: str, *, count: int) -> list[Owed]:
        """Return up to ``count`` decisions that are due, the longest due first; none while the target is disabled.

        What was decided anew meanwhile is dropped. What cannot be told any more, because the film's record has expired
        or cannot be read, becomes a dead letter.
        """
        token = secrets.token_hex(8)
        now, *rows = await self._run("deliver_lease", target, count, self._lease_ms, LONGEST_WAIT_MS, token)
        leased = []
        for row in rows:
            try:
                leased.append(self._owed(target, int(now), row))
            except RecordCorrupt:
                # It must not keep its neighbours from being sent, and somebody has to see it.
                member, leased_ms, attempts, *_ = row
                facts = {"action": "delivery_unreadable", "job_id": member.partition(":")[0]}
                logger.error("a decision to deliver cannot be read", extra=facts)
                await self._run("deliver_end", "dead", target, member, leased_ms, attempts, UNREADABLE)
        return leased

    async def delivered(self, owed: Owed) -> None:
        """Take it off: the target has it, or is not to have it."""
        await self._end("delivered", owed)

    async def later(self, owed: Owed, *, wait_ms: int, reason: str) -> None:
        """Count a failed attempt; it is due again after ``wait_ms``, at most an hour."""
        await self._end("later", owed, min(wait_ms, LONGEST_WAIT_MS), reason)

    async def give_back(self, owed: Owed) -> None:
        """Have it due again at once, unharmed; for a process that stops."""
        await self._end("give_back", owed)

    async def dead(self, owed: Owed, *, reason: str) -> None:
        """Give it up after one more failed attempt; it is listed until somebody requeues it, or its record is gone."""
        await self._end("dead", owed, reason)

    async def dead_letters(self, target: str, *, limit: int) -> list[DeadLetter]:
        """Return up to ``limit`` decisions that were given up for a target, newest first."""
        async with bounded(_PATIENCE_SECONDS):
            found: Any = await self._redis.zrevrange(keys.delivery("dead", target), 0, limit - 1, withscores=True)
            members = [member for member, _ in found]
            if not members:
                return []
            pipe = self._redis.pipeline(transaction=False)
            pipe.hmget(keys.delivery("notes", target), members)
            for member in members:
                pipe.hget(keys.instance(member.partition(":")[0]), "payload")
            notes, *payloads = await pipe.execute()
        return [
            dead_letter_of(member, dead_ms=int(ms), note=note, is_payload_kept=payload is not None)
            for (member, ms), note, payload in zip(found, notes, payloads, strict=True)
        ]

    async def requeue(self, target: str, members: Collection[str] | None = None, *, limit: int = 1000) -> Requeued:
        """Let dead letters be sent again, as if for the first time; all up to ``limit`` by default."""
        if members is not None and not members:
            return Requeued(count=0, without_payload=0)
        count, without_payload = await self._run("deliver_requeue", target, limit, *(members or ()))
        return Requeued(count=int(count), without_payload=int(without_payload))

    async def disable(self, target: str, *, reason: str) -> None:
        """Hand nothing out for a target until it is enabled; it is owed everything meanwhile. Survives restarts."""
        await self._run("deliver_disable", target, reason)

    async def enable(self, target: str) -> bool:
        """Hand things out again; return whether the target was disabled."""
        return bool(await self._run("deliver_disable", target, ""))

    async def forget(self, target: str, *, is_announced_too: bool = False) -> bool:
        """Drop all that a target is owed, its dead letters and the target itself; every record stays.

        Return ``False``, and do nothing, where it is announced: its delivery would go on.
        """
        return bool(await self._run("deliver_forget", target, int(is_announced_too)))

    async def standings(self) -> list[TargetStanding]:
        """Return how every target stands that is, or once was, announced, by name."""
        async with bounded(_PATIENCE_SECONDS):
            pipe = self._redis.pipeline(transaction=False)
            pipe.time()
            pipe.smembers(keys.DELIVER_KNOWN)
            pipe.smembers(keys.DELIVER_TARGETS)
            pipe.hgetall(keys.DELIVER_DISABLED)
            (seconds, microseconds), known, announced, disabled = await pipe.execute()
            names = sorted(known)
            for name in names:
                pipe.zcard(keys.delivery("due", name))
                pipe.zcard(keys.delivery("dead", name))
                pipe.zrange(keys.delivery("since", name), 0, 0, withscores=True)
            counts = await pipe.execute()
        return [
            TargetStanding(
                name=name,
                is_announced=name in announced,
                disabled_reason=disabled.get(name),
                due=counts[3 * at],
                dead=counts[3 * at + 1],
                oldest_owed_ms=int(counts[3 * at + 2][0][1]) if counts[3 * at + 2] else None,
                now_ms=seconds * 1000 + microseconds // 1000,
            )
            for at, name in enumerate(names)
        ]

    def _owed(self, target: str, now_ms: int, row: list[Any]) -> Owed:
        member, leased_ms, attempts, since, fields, past, is_payload_kept = row
        film_id, _, commit = member.partition(":")
        return Owed(
            target=target,
            member=member,
            film_id=film_id,
            commit=int(commit),
            attempts=int(attempts),
            owed_since_ms=int(since),
            now_ms=now_ms,
            leased_ms=int(leased_ms),
            job=load_job(fields[0]),
            record=record_of(fields, now_ms=now_ms, limits=self._limits),
            past=tuple(past_decision_of(entry) for entry in past),
            is_payload_kept=bool(is_payload_kept),
        )

    async def _end(self, step: str, owed: Owed, *arguments: str | int) -> None:
        await self._run("deliver_end", step, owed.target, owed.member, owed.leased_ms, owed.attempts, *arguments)

    async def _run(self, script: str, *arguments: str | int) -> Any:
        async with bounded(_PATIENCE_SECONDS):
            return await self._scripts[script](keys=[keys.DELIVER_TARGETS], args=arguments)
