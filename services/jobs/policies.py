"""Which threshold decides a site's films: policies, versioned per site from 1, each bound to one model digest.

A site has one current policy for each digest that it has chosen one for, and a history of all versions. One hash and
one list a site in Redis; every change is one script that may be repeated, and names the version that it was decided
on, so that nobody overwrites anybody (docs/decisions/0031). Where a site has no policy for the digest that serves, the
bundle's own point decides, as version 0.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from redis.asyncio import Redis

from services.jobs import keys, lua
from services.jobs.connection import bounded
from services.jobs.errors import BelowSensitivityFloor, ModelNotKnown, PolicyChanged, RecordCorrupt
from services.jobs.intervals import Estimate
from services.jobs.operating_tables import OperatingTable
from services.jobs.records import ModelReference

logger = logging.getLogger(__name__)

HISTORY_SHOWN: Final = 100
_REVISION: Final = "revision"
_KNOWN: Final = "known"


class PolicyDraft(BaseModel):
    """What somebody wants to decide a site's films by; a version and a time make it a policy.

    Attributes
    ----------
    prevalence
        The site's own share of unhealthy films, as whoever chose the threshold took it to be.
    sensitivity, specificity
        What the threshold did to the model's test patients, named by ``evidence``.
    sensitivity_floor
        Below which a reason was asked for; ``None`` where an operator adopted the bundle's default point.
    by
        Id of the key, or an operator's account; ``None`` where the gateway asks for no keys.
    """

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    site: str
    model: ModelReference
    name: str
    threshold: float = Field(ge=0.0, le=1.0)
    prevalence: float | None
    sensitivity: Estimate | None
    specificity: Estimate | None
    evidence: str
    sensitivity_floor: float | None
    override_reason: str | None
    by: str | None


class SitePolicy(PolicyDraft):
    """One version of a site's policy; ``at_ms`` is when it was set, in ms since the epoch by Redis' clock."""

    version: int = Field(ge=1)
    at_ms: int


def dump_policy(policy: SitePolicy) -> str:
    """Return a policy as ``policy_put.lua`` writes it: version and time first."""
    draft = policy.model_dump_json(exclude={"version", "at_ms"})
    return f'{{"version":{policy.version},"at_ms":{policy.at_ms},{draft[1:]}'


def load_policy(text: str | bytes) -> SitePolicy:
    """Return what ``dump_policy`` wrote; raise ``RecordCorrupt`` on anything else."""
    try:
        return SitePolicy.model_validate_json(text)
    except ValidationError as error:
        raise RecordCorrupt("a stored policy cannot be read") from error


def _readable(text: str | bytes, site: str) -> SitePolicy | None:
    try:
        return load_policy(text)
    except RecordCorrupt as error:
        logger.error("a policy cannot be read", extra={"action": "policy_unreadable", "code": error.code, "site": site})
        return None


@dataclass(frozen=True, kw_only=True)
class PolicyState:
    """All current policies at one moment, by site and digest; ``revision`` is another one after every change."""

    revision: str | None = None
    policies: Mapping[tuple[str, str], SitePolicy] = field(default_factory=dict)

    def of_site(self, site: str) -> tuple[SitePolicy, ...]:
        """Return the current policies of a site, the latest version first."""
        found = (policy for (its_site, _), policy in self.policies.items() if its_site == site)
        return tuple(sorted(found, key=lambda policy: -policy.version))

    @property
    def sites(self) -> frozenset[str]:
        """The sites that have chosen a policy, for whatever model."""
        return frozenset(site for site, _ in self.policies)

    def missing(self, digest: str) -> tuple[str, ...]:
        """Return the sites that have chosen a policy, but none for this model."""
        return tuple(sorted(site for site in self.sites if (site, digest) not in self.policies))


def draft_of(
    table: OperatingTable,
    *,
    site: str,
    threshold: float,
    name: str,
    by: str | None,
    floor: float | None,
    prevalence: float | None = None,
    override_reason: str | None = None,
) -> PolicyDraft:
    """Return a draft with what the table says of its threshold.

    Raises
    ------
    BelowSensitivityFloor
        If the threshold's sensitivity is below the floor, or there is one and nobody has measured it, and no reason is
        given.
    """
    sensitivity = table.sensitivity(threshold)
    is_below = floor is not None and floor > 0 and (sensitivity is None or sensitivity.value < floor)
    if is_below and override_reason is None:
        measured = "unknown" if sensitivity is None else f"{sensitivity.value:.4f}"
        raise BelowSensitivityFloor(
            f"The threshold's sensitivity is {measured}, below this service's floor of {floor}. Choose a lower "
            "threshold, or give an override_reason."
        )
    return PolicyDraft(
        site=site,
        model=table.model,
        name=name,
        threshold=threshold,
        prevalence=prevalence,
        sensitivity=sensitivity,
        specificity=table.specificity(threshold),
        evidence=table.evidence,
        sensitivity_floor=floor,
        override_reason=override_reason,
        by=by,
    )


class Policies:
    """Reads and changes policies. Admins put; workers read, and give back what Redis lost.

    Every call raises ``QueueUnavailable`` where Redis does not answer; a write may have taken effect then, and may be
    repeated.
    """

    def __init__(self, redis: Redis, *, patience_seconds: float | None = 5.0) -> None:
        self._redis = redis
        self._patience_seconds = patience_seconds
        self._script = redis.register_script(lua.source("policy_put"))

    async def revision(self) -> str | None:
        """Return what another value of says that something changed; the cheap question."""
        async with bounded(self._patience_seconds):
            answer: Any = await self._redis.hget(keys.POLICIES, _REVISION)
        return None if answer is None else str(answer)

    async def read(self) -> PolicyState:
        """Return all current policies; one that cannot be read is said, and taken from the site's history."""
        async with bounded(self._patience_seconds):
            fields: Any = await self._redis.hgetall(keys.POLICIES)
        revision = fields.pop(_REVISION, None)
        read = {}
        for name, text in fields.items():
            site, _, digest = name.partition("|")
            policy = _readable(text, site) if digest else None
            # Of another site or model than it is kept for, it must not decide there.
            if digest and (policy is None or (policy.site, policy.model.digest) != (site, digest)):
                policy = await self._last_said(site, digest)
            if policy is not None:
                read[site, digest] = policy
        return PolicyState(revision=revision, policies=read)

    async def _last_said(self, site: str, digest: str) -> SitePolicy | None:
        """Return the latest version for a model that the history has: who starts now remembers no other."""
        said = (policy for policy in await self.history(site) if (policy.site, policy.model.digest) == (site, digest))
        return next(said, None)

    async def history(self, site: str) -> tuple[SitePolicy, ...]:
        """Return a site's versions, the newest first, at most ``HISTORY_SHOWN``; what cannot be read is left out."""
        async with bounded(self._patience_seconds):
            texts: Any = await self._redis.lrange(keys.policy_history(site), -HISTORY_SHOWN, -1)
        return tuple(policy for text in reversed(texts) if (policy := _readable(text, site)) is not None)

    async def latest(self, site: str) -> int:
        """Return a site's latest version, 0 where it has none."""
        current, history = (await self.read()).of_site(site), await self.history(site)
        return max((policy.version for policy in (*current, *history)), default=0)

    async def put(self, draft: PolicyDraft, *, seen: int) -> SitePolicy:
        """Make a draft the site's policy for its model; return the version that it became.

        The same draft on the same ``seen`` version again is the same version: the reply to the first was lost.

        Raises
        ------
        PolicyChanged, ModelNotKnown
            If the site's latest version is not the one that was ``seen``, or nobody has kept this model's operating
            table. Nothing was changed.
        """
        body = draft.model_dump_json()
        word, text = await self._run("put", draft.site, draft.model.digest, seen, body)
        if word == "unknown":
            raise ModelNotKnown("No worker serves this model, and no operator proposes it; GET /v1/models lists those.")
        if word == "changed":
            raise PolicyChanged(
                f"The site's policy is version {text} now, not the one that If-Match names. Read it, and decide again."
            )
        return load_policy(text)

    async def restore(self, policies: Iterable[SitePolicy]) -> bool:
        """Give back to Redis what it lost; return whether anything is decided otherwise. Harmless where it knows more.

        Of two of the same version, because Redis lost the first and somebody chose again, the later one stands.
        """
        changed = False
        for policy in sorted(policies, key=lambda policy: (policy.version, -policy.at_ms)):
            word, _ = await self._run("restore", policy.site, policy.model.digest, policy.version, dump_policy(policy))
            changed = changed or word == "restored"
        return changed

    async def is_known(self) -> bool:
        """Return whether the trail was asked for policies; a Redis that lost everything knows nothing of it."""
        async with bounded(self._patience_seconds):
            return await self._redis.hget(keys.POLICIES, _KNOWN) is not None

    async def note_known(self) -> None:
        """Note that every policy of the trail is there."""
        await self._run("known")

    async def _run(self, step: str, *arguments: str | int) -> tuple[str, str]:
        async with bounded(self._patience_seconds):
            word, text = await self._script(keys=[keys.POLICIES], args=[step, *arguments])
        return str(word), str(text)
