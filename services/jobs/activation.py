"""Which bundle scores: the active one, the one before, and a candidate that workers are trying.

Two phases (docs/decisions/0017): an operator proposes a candidate, every live worker prepares it beside the one that it
serves and says so in its status, and only then is it made active. One hash in Redis; every change is one script that
may be repeated. A change names the revision that it was decided on, so that two operators do not overwrite each other.
Knows digests, no files.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from redis.asyncio import Redis

from services.jobs import keys, lua
from services.jobs.connection import bounded
from services.jobs.errors import ActivationConflict, PoliciesMissing, RecordCorrupt

# A candidate from further ahead than this was proposed before Redis' clock went back; its end would come too late.
_CLOCK_STEP_MS: Final = 1000
_MISSING: Final = "missing"


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A bundle that workers are asked to prepare. ``attempt`` names this try; it is over at ``until_ms`` at the latest.

    Times are milliseconds since the epoch by Redis' clock; ``by`` is the operator.
    """

    digest: str
    attempt: str
    by: str
    since_ms: int
    until_ms: int


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """The last candidate that did not become active, and why."""

    digest: str
    code: str
    by: str
    at_ms: int


@dataclass(frozen=True, kw_only=True)
class Activation:
    """State at one moment. ``active`` is ``None`` where nothing was ever activated: workers serve what they are set to.

    ``revision`` grows with every change, also across a Redis that lost its memory.
    """

    revision: int = 0
    active: str | None = None
    active_by: str | None = None
    active_ms: int | None = None
    previous: str | None = None
    candidate: Candidate | None = None
    refusal: Refusal | None = None


class BundleActivation:
    """Reads and changes the state. Operators propose, activate and withdraw; workers read and restore.

    Every call raises ``QueueUnavailable`` where Redis does not answer; a write may have taken effect then, and may be
    repeated.
    """

    def __init__(self, redis: Redis, *, patience_seconds: float | None = 5.0) -> None:
        self._redis = redis
        self._patience_seconds = patience_seconds
        self._script = redis.register_script(lua.source("activation"))

    async def read(self) -> Activation:
        """Return the state; a candidate whose time is over is none. Raises ``RecordCorrupt`` where it is no state."""
        pipe = self._redis.pipeline(transaction=False)
        pipe.time()
        pipe.hgetall(keys.BUNDLE)
        async with bounded(self._patience_seconds):
            (seconds, microseconds), fields = await pipe.execute()
        try:
            return _activation(fields, now_ms=seconds * 1000 + microseconds // 1000)
        except (KeyError, ValueError) as error:
            raise RecordCorrupt("the state of the bundles cannot be read") from error

    async def propose(self, digest: str, *, attempt: str, by: str, seconds: float, seen: Activation) -> None:
        """Ask every worker to prepare a bundle, for so many seconds.

        Raises
        ------
        ActivationConflict
            If another candidate is being tried, or the state is no longer the one that was ``seen``.
        PoliciesMissing
            If a site has chosen a policy, but none for this bundle.
        """
        reply = await self._run("propose", attempt, digest, by, round(1000 * seconds), seen.revision)
        if reply == "busy":
            raise ActivationConflict("another bundle is being activated; try again when that is over")
        if reply == "changed":
            raise ActivationConflict("somebody else has changed the active bundle meanwhile; look again")
        _refuse_without_policies(reply)

    async def activate(self, attempt: str, *, served: str | None = None) -> None:
        """Make the attempt's candidate active; workers switch as soon as they read it.

        ``served`` is the digest that workers serve, for the way back, where nothing was ever activated.

        Raises
        ------
        ActivationConflict
            If the attempt is over: its time ran out, or it was withdrawn.
        PoliciesMissing
            If a site has meanwhile chosen a policy for another bundle alone. This one stays the candidate.
        """
        reply = await self._run("activate", attempt, served or "")
        _refuse_without_policies(reply)
        if reply != "ok":
            raise ActivationConflict("the attempt is over: its time ran out, or it was withdrawn")

    async def withdraw(self, attempt: str, *, code: str) -> bool:
        """End an attempt without a change of the active bundle; return False where it has become active already."""
        return await self._run("withdraw", attempt, code) == "ok"

    async def restore(self, remembered: Activation) -> None:
        """Give back to Redis what it lost; harmless where it knows the same or something newer."""
        if remembered.active is None:
            return
        await self._run(
            "restore",
            remembered.revision,
            remembered.active,
            remembered.previous or "",
            remembered.active_by or "",
            remembered.active_ms or 0,
        )

    async def _run(self, step: str, *arguments: str | int) -> str:
        async with bounded(self._patience_seconds):
            return str(await self._script(keys=[keys.BUNDLE], args=[step, *arguments]))


def _refuse_without_policies(reply: str) -> None:
    word, _, sites = reply.partition(" ")
    if word == _MISSING:
        raise PoliciesMissing(
            f"these sites have policies, but none for this bundle: {', '.join(sites.split())}; set one for each (PUT "
            "/v1/policies/{site}), or repeat with --adopt-default-points"
        )


def _activation(fields: Mapping[str, str], *, now_ms: int) -> Activation:
    candidate = refusal = None
    if "candidate" in fields and int(fields["candidate_ms"]) - _CLOCK_STEP_MS <= now_ms <= int(fields["until_ms"]):
        candidate = Candidate(
            digest=fields["candidate"],
            attempt=fields["attempt"],
            by=fields["candidate_by"],
            since_ms=int(fields["candidate_ms"]),
            until_ms=int(fields["until_ms"]),
        )
    if "refused" in fields:
        refusal = Refusal(
            digest=fields["refused"],
            code=fields["refused_code"],
            by=fields["refused_by"],
            at_ms=int(fields["refused_ms"]),
        )
    return Activation(
        revision=int(fields.get("revision", 0)),
        active=fields.get("active"),
        active_by=fields.get("active_by"),
        active_ms=int(fields["active_ms"]) if "active_ms" in fields else None,
        previous=fields.get("previous"),
        candidate=candidate,
        refusal=refusal,
    )
