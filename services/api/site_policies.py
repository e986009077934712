"""What callers see of policies and ask of them: documents, new versions, trials. Knows no HTTP.

Which model scores now is said by operators who activated one, else by the workers that live.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from services.api.policy_schemas import (
    LISTED,
    ChangedFilm,
    ChangedFilms,
    DefaultPoint,
    Histogram,
    PolicyDocument,
    PolicyPreview,
    PolicyVersion,
    PolicyWish,
    Trial,
)
from services.api.scopes import Caller
from services.jobs.activation import BundleActivation
from services.jobs.errors import ModelNotKnown
from services.jobs.operating_tables import OperatingTables
from services.jobs.policies import Policies, PolicyState, SitePolicy, draft_of
from services.jobs.queue import JobQueue
from services.jobs.recent import RecentFilm, RecentFilms
from services.jobs.records import moment
from services.jobs.status import WorkerStatus

_BINS: Final = 20


@dataclass(frozen=True, kw_only=True)
class _Scoring:
    """Which model scores now, if one does, and by which point where a site has no policy for it."""

    digest: str | None
    default: DefaultPoint | None


@dataclass(frozen=True, kw_only=True)
class SitePolicies:
    """The policies of all sites; ``sites`` are those that the settings name, ``floor`` the sensitivity asked of each.

    Every call raises ``QueueUnavailable`` where Redis does not answer.
    """

    policies: Policies
    tables: OperatingTables
    recent: RecentFilms
    queue: JobQueue
    activation: BundleActivation
    sites: tuple[str, ...]
    floor: float

    async def document(self, site: str) -> PolicyDocument:
        """Return a site's policies with their history."""
        scoring, history = await self._scoring(), await self.policies.history(site)
        # Last: who saves meanwhile is shown with their version, or its number would stand beside what was before it.
        return self._document(site, await self.policies.read(), scoring, history)

    async def documents(self, caller: Caller) -> tuple[PolicyDocument, ...]:
        """Return those of all sites that the caller sees: named by the settings, by a study or by a policy."""
        state, scoring = await self.policies.read(), await self._scoring()
        known = {*self.sites, *state.sites, *await self.recent.sites()}
        return tuple(self._document(site, state, scoring) for site in sorted(known) if caller.sees(site))

    async def choose(self, site: str, wish: PolicyWish, *, seen: int, by: str | None) -> SitePolicy:
        """Make a wish the site's policy; return the version that it became.

        Raises
        ------
        PolicyChanged, ModelNotKnown
            As ``Policies.put``.
        BelowSensitivityFloor
            As ``draft_of``.
        """
        table = await self.tables.get(wish.model_digest)
        if table is None:
            raise ModelNotKnown("No worker serves this model, and no operator proposes it; GET /v1/models lists those.")
        draft = draft_of(
            table,
            site=site,
            threshold=wish.threshold,
            name=wish.name,
            by=by,
            floor=self.floor,
            prevalence=wish.prevalence,
            override_reason=wish.override_reason,
        )
        return await self.policies.put(draft, seen=seen)

    async def preview(self, site: str, trial: Trial) -> PolicyPreview:
        """Return what a threshold would have made of the films that the site's model scored last.

        Raises
        ------
        ModelNotKnown
            If no model is named, and none scores now.
        """
        digest = trial.model_digest or (await self._scoring()).digest
        if digest is None:
            raise ModelNotKnown("No single model scores now; name one with model_digest.")
        films = await self.recent.last(site, digest, trial.last)
        table = await self.tables.get(digest)
        after = [film.probability >= trial.threshold for film in films]
        return PolicyPreview(
            site=site,
            model_digest=digest,
            threshold=trial.threshold,
            films=len(films),
            flagged_before=sum(film.is_flagged for film in films),
            flagged_after=sum(after),
            newly_flagged=_changed([film for film, flag in zip(films, after, strict=True) if flag > film.is_flagged]),
            no_longer_flagged=_changed([f for f, flag in zip(films, after, strict=True) if flag < f.is_flagged]),
            histogram=_histogram(films),
            row=table and table.row(trial.threshold),
            sensitivity=table and table.sensitivity(trial.threshold),
            specificity=table and table.specificity(trial.threshold),
            oldest=moment(films[-1].done_ms) if films else None,
            newest=moment(films[0].done_ms) if films else None,
        )

    async def _scoring(self) -> _Scoring:
        workers = await self.queue.workers()
        digests = {worker.model.digest for worker in workers}
        served = digests.pop() if len(digests) == 1 else None
        digest = (await self.activation.read()).active or served
        return _Scoring(digest=digest, default=_default(digest, workers))

    def _document(
        self, site: str, state: PolicyState, scoring: _Scoring, history: Sequence[SitePolicy] = ()
    ) -> PolicyDocument:
        current = state.of_site(site)
        deciding = state.policies.get((site, scoring.digest or ""))
        return PolicyDocument(
            site=site,
            version=max((policy.version for policy in (*current, *history)), default=0),
            active=scoring.digest,
            policy=deciding and PolicyVersion.of(deciding),
            default=scoring.default,
            policies=tuple(map(PolicyVersion.of, current)),
            history=tuple(map(PolicyVersion.of, history)),
            sensitivity_floor=self.floor,
        )


def _default(digest: str | None, workers: Sequence[WorkerStatus]) -> DefaultPoint | None:
    for worker in workers:
        if worker.model.digest == digest:
            return DefaultPoint(name=worker.operating_point, threshold=worker.threshold, digest=worker.model.digest)
    return None


def _changed(films: Sequence[RecentFilm]) -> ChangedFilms:
    listed = sorted(films, key=lambda film: -film.probability)[:LISTED]
    return ChangedFilms(
        total=len(films),
        films=tuple(
            ChangedFilm(
                id=film.id, study_uid=film.study_uid, probability=film.probability, threshold_before=film.threshold
            )
            for film in listed
        ),
    )


def _histogram(films: Sequence[RecentFilm]) -> Histogram:
    counts = [0] * _BINS
    for film in films:
        counts[min(int(film.probability * _BINS), _BINS - 1)] += 1
    return Histogram(edges=tuple(step / _BINS for step in range(_BINS + 1)), counts=tuple(counts))
