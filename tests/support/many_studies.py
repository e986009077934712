"""A full worklist within seconds: studies of every outcome, put into a real Redis by the product's own scripts.

Films are submitted, taken and finished as gateway and worker do it; none has a payload, pictures or a worker. So a
worker must not run beside them: it would take the films that wait, and end them for want of a payload.
"""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Awaitable, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

from model.decision import Decision, Outcome
from model.errors import Reason
from services.jobs.connection import connect_worker
from services.jobs.limits import QueueLimits
from services.jobs.queue import JobQueue
from services.jobs.records import Job, Priority, TakenJob
from services.jobs.settings import RedisSettings
from services.jobs.worklist import RollUp
from tests.support.gateway import GatewayProcess
from tests.support.jobs import SCORED_BY, TIMINGS, lateral, make_job, now_ms, scored, unread
from tests.support.parts import Parts
from tests.support.redis_server import RedisServer

# How a day's studies end, in percent: more than a tenth flagged, most of the rest not, and a few of everything else.
_SHARES: Final = {RollUp.FLAGGED: 14, RollUp.NOT_ASSESSED: 8, RollUp.PENDING: 5, RollUp.NOT_FLAGGED: 73}
_STAT_SHARE: Final = 0.1
_LATERAL_SHARE: Final = 0.1
_DAY_MS: Final = 22 * 3600 * 1000  # so that a list of 24 hours has them all for a while
# Beyond the age at which routine, and so stat, is overdue; and far below it.
_OVERDUE_MS: Final = 3600 * 1000
_YOUNG_MS: Final = 20 * 1000
_UNREAD: Final = tuple(reason for reason in Reason if reason is not Reason.WITHDRAWN)
# Enough under way to share each fsync of Redis' file, and few enough for a take's page.
_AT_ONCE: Final = 100
_CONSUMER: Final = "many-studies"
_LIMITS: Final = QueueLimits(routine_depth=1_000_000, open_bytes=1 << 50, site_share=1.0)

_Item = TypeVar("_Item")


@dataclass(frozen=True, kw_only=True)
class SeededStudy:
    """A study as it was put there. ``films`` are the ids of its films; ``is_late`` says that it waits too long."""

    study_uid: str
    site: str
    priority: Priority
    outcome: RollUp
    is_late: bool
    films: tuple[str, ...]


def put_studies(
    redis: RedisSettings, *, count: int = 10_000, sites: Sequence[str] = ("default",), seed: int = 0
) -> list[SeededStudy]:
    """Put so many studies of the last 22 hours there; return them.

    Every outcome is there in both priorities from the first sixteen studies on; a tenth is stat, a tenth of what was
    scored has an unread lateral beside it. The same ``seed`` gives the same studies, at other times. In a thread of
    its own, because where playwright runs no event loop may.
    """
    plans = _plans(count, tuple(sites), seed)
    with ThreadPoolExecutor(max_workers=1) as thread:
        thread.submit(asyncio.run, _put(redis, plans)).result()
    return [plan.study for plan in plans]


@dataclass(frozen=True, kw_only=True)
class WorklistRig:
    """A gateway and a Redis without a worker, and the studies in it."""

    gateway: GatewayProcess
    server: RedisServer
    studies: list[SeededStudy]

    @property
    def url(self) -> str:
        return self.gateway.url


@contextmanager
def worklist_rig(
    directory: Path, redis_binary: Path, *, count: int = 10_000, sites: Sequence[str] = ("default",), **settings: Any
) -> Iterator[WorklistRig]:
    """Run Redis with so many studies, and a gateway, for the block. ``directory`` has a short path: a socket's."""
    with ExitStack() as stack:
        server = RedisServer(redis_binary, directory)
        server.start()
        stack.callback(server.stop)
        studies = put_studies(server.settings, count=count, sites=sites)
        parts = Parts(directory=directory, server=server, bundle=directory)
        yield WorklistRig(gateway=stack.enter_context(parts.gateway(**settings)), server=server, studies=studies)


@dataclass(frozen=True, kw_only=True)
class _Plan:
    """A study with its films' jobs; ``decisions`` say how each ends, none where the study waits."""

    study: SeededStudy
    jobs: tuple[Job, ...]
    decisions: tuple[Decision, ...]


def _plans(count: int, sites: tuple[str, ...], seed: int) -> list[_Plan]:
    chance, start_ms = random.Random(seed), now_ms()
    each = list(itertools.product(RollUp, Priority, (False, True)))
    return [
        _plan(number, sites[number % len(sites)], *(each[number] if number < len(each) else _drawn(chance)), start_ms)
        for number in range(count)
    ]


def _drawn(chance: random.Random) -> tuple[RollUp, Priority, bool]:
    (outcome,) = chance.choices(list(_SHARES), weights=list(_SHARES.values()))
    priority = Priority.STAT if chance.random() < _STAT_SHARE else Priority.ROUTINE
    return outcome, priority, chance.random() < (0.5 if outcome is RollUp.PENDING else _LATERAL_SHARE)


def _plan(number: int, site: str, outcome: RollUp, priority: Priority, is_special: bool, start_ms: int) -> _Plan:
    """Return study ``number``; special is one that waits too long, or one that has a lateral beside what was scored."""
    decisions = _decisions(number, site, outcome, has_lateral=is_special)
    age_ms = _age_ms(number, outcome, is_late=is_special)
    jobs = tuple(
        make_job(
            priority=priority,
            site=site,
            study_uid=f"1.2.826.0.1.{1_000_000 + number}",
            submitted_ms=start_ms - age_ms,
            content=f"study {number} film {film}".encode(),
        )
        for film in range(max(1, len(decisions)))
    )
    study = SeededStudy(
        study_uid=jobs[0].study_uid,
        site=site,
        priority=priority,
        outcome=outcome,
        is_late=outcome is RollUp.PENDING and is_special,
        films=tuple(job.id for job in jobs),
    )
    return _Plan(study=study, jobs=jobs, decisions=decisions)


def _decisions(number: int, site: str, outcome: RollUp, *, has_lateral: bool) -> tuple[Decision, ...]:
    match outcome:
        case RollUp.PENDING:
            return ()
        case RollUp.NOT_ASSESSED:
            return (unread(_UNREAD[number % len(_UNREAD)]),)
    frontal = scored(flagged=outcome is RollUp.FLAGGED, site=site)
    return (frontal, lateral()) if has_lateral else (frontal,)


def _age_ms(number: int, outcome: RollUp, *, is_late: bool) -> int:
    if outcome is RollUp.PENDING:
        return _OVERDUE_MS + number if is_late else number % _YOUNG_MS
    # Spread over the day by a step that shares no factor with it: no two at one moment, and in no order.
    return number * 7_919_231 % _DAY_MS


async def _put(redis: RedisSettings, plans: Sequence[_Plan]) -> None:
    async with connect_worker(redis) as client:
        queue = JobQueue(client, limits=_LIMITS, patience_seconds=None)  # a busy machine is only slow
        ends = {job.id: end for plan in plans for job, end in zip(plan.jobs, plan.decisions, strict=False)}
        jobs = [job for plan in plans for job in plan.jobs]
        await _each([job for job in jobs if job.id in ends], queue.submit)

        async def end(taken: TakenJob) -> None:
            # A film that another one left here, or that a worker holds, would be given an outcome of ours.
            decision = ends.pop(taken.job.id)
            scored_by = None if decision.outcome is Outcome.NOT_ASSESSED else SCORED_BY
            await queue.finish(taken, decision, model=scored_by, timings=TIMINGS)

        while ends:
            taken = await queue.take(_CONSUMER, count=_AT_ONCE, block_ms=0)
            assert taken, f"somebody else took {len(ends)} films: no worker may run beside this"
            await _each(taken, end)
        # Last, so that nothing takes them.
        await _each([job for plan in plans if not plan.decisions for job in plan.jobs], queue.submit)


async def _each(items: Sequence[_Item], do: Callable[[_Item], Awaitable[object]]) -> None:
    """Do it with every item, some at a time."""
    for first in range(0, len(items), _AT_ONCE):
        await asyncio.gather(*map(do, items[first : first + _AT_ONCE]))
