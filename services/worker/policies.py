"""The worker's side of policies: knows what every site decides by, and tells Redis what a threshold amounts to.

Owns what this worker remembers. A Redis that does not answer, or that lost what it knew, changes nothing here: films go
on by the policies that were read last, and what Redis lost is given back to it. Must not know films.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping

from services.jobs.operating_tables import OperatingTables
from services.jobs.policies import Policies, PolicyState, SitePolicy
from services.worker import metrics
from services.worker.expectation import FlagShare
from services.worker.switching import ServedBundles

logger = logging.getLogger(__name__)


class PolicyFollower:
    """Follows what admins choose.

    ``step`` is cheap where nothing changed. Parameter ``bundles`` says whose operating table is kept in Redis.
    """

    def __init__(self, policies: Policies, tables: OperatingTables, *, bundles: ServedBundles) -> None:
        self._policies = policies
        self._tables = tables
        self._bundles = bundles
        self._revision: str | None = None
        self._known: Mapping[tuple[str, str], SitePolicy] = {}
        self._shown: tuple[str, Mapping[tuple[str, str], SitePolicy]] | None = None

    def chosen(self, site: str, digest: str) -> SitePolicy | None:
        """Return what the site has chosen for a model; ``None`` where the bundle's own point decides."""
        return self._known.get((site, digest))

    @property
    def known(self) -> Mapping[tuple[str, str], SitePolicy]:
        """Every current policy, by site and digest."""
        return self._known

    async def step(self) -> bool:
        """Look whether anything changed, and read it; return whether films are decided by something else from now on.

        Raises
        ------
        QueueUnavailable
            If Redis does not answer; what is known stays.
        """
        table = self._bundles.serving.table
        if table is not None and not await self._tables.has(table.model.digest):
            await self._tables.keep(table)
        before = self._known
        if self._revision is None or await self._policies.revision() != self._revision:
            await self._read()
        self._show()
        metrics.POLICIES_READ.set(time.time())
        return before != self._known

    def _show(self) -> None:
        """Publish what every policy for the bundle that serves is expected to flag, where either has changed."""
        loaded = self._bundles.serving
        if self._shown == (loaded.digest, self._known):
            return
        self._shown = loaded.digest, self._known
        chosen = {site: policy for (site, digest), policy in self._known.items() if digest == loaded.digest}
        shares = []
        for site in sorted(metrics.all_sites() | chosen.keys()):
            policy = loaded.serving.policy(site, chosen.get(site))
            prevalence = chosen[site].prevalence if site in chosen else None
            shares.append((policy, FlagShare.of(loaded.table, policy.threshold, prevalence=prevalence)))
        metrics.show_policies(shares)

    async def _read(self) -> None:
        state = await self._policies.read()
        if lost := [policy for key, policy in self._known.items() if _is_lost(policy, state.policies.get(key))]:
            logger.warning("policies forgotten by Redis", extra={"action": "policies_restored", "count": len(lost)})
            if await self._policies.restore(lost):
                state = await self._policies.read()
        # One that cannot be read any more stays what it was: another threshold would be nobody's choice.
        self._take_over({**self._known, **state.policies}, state)

    def _take_over(self, policies: Mapping[tuple[str, str], SitePolicy], state: PolicyState) -> None:
        for key, policy in policies.items():
            if self._known.get(key) != policy:
                facts = {"site": policy.site, "digest": policy.model.digest, "version": policy.version}
                logger.info("policy followed", extra={"action": "policy_followed", **facts})
        self._revision, self._known = state.revision, policies


def _is_lost(remembered: SitePolicy, found: SitePolicy | None) -> bool:
    return found is None or found.version < remembered.version
