"""What is done now and then, by whoever is there; several at once do no harm. Needs no worker to be alive."""

from __future__ import annotations

import json
import logging
import random

from model.decision import not_assessed
from model.errors import Reason
from services.jobs.limits import Deadlines
from services.jobs.queue.scripted import PAGE, Scripted, now_ms
from services.jobs.records import Priority, Timings
from services.jobs.stored import result_of

logger = logging.getLogger(__name__)

_EXPIRE_PAGE = 100
# Open films counted in one call, 20 ms of Redis' time. A counter that is too high lets no more in, so that what is open
# beyond this drains, and then it is counted.
_RECOUNT_AT_MOST = 2000
_STUDY_RETENTION_MS = 32 * 86_400_000


class Upkeep(Scripted):
    """Promotes, expires, and heals what was lost inside Redis."""

    async def promote(self) -> int:
        """Queue the films whose retry wait is over, by Redis' clock; return how many. Once a second."""
        return int(await self._run("promote", PAGE))

    async def expire(self, deadlines: Deadlines) -> int:
        """End every film that is past its deadline as not_assessed(deadline), whoever holds it; return how many.

        A film is late only where this host's clock says so since its submission, and Redis' since it is open: one
        clock that is wrong ends nothing.
        """
        decision = not_assessed(Reason.DEADLINE)
        result = result_of(decision, scored_by=None, timings=Timings()).model_dump_json()
        verdict = (decision.outcome, Reason.DEADLINE, result)
        in_ms = _in_milliseconds(deadlines)
        offset = ended = 0
        while True:
            looked_at: int
            late: int
            looked_at, late = await self._run("expire", now_ms(), in_ms, *verdict, offset, _EXPIRE_PAGE)
            ended += late
            offset += looked_at - late
            if looked_at < _EXPIRE_PAGE:
                return ended

    async def reconcile(self) -> int:
        """Queue again every open film that no stream, worker or retry holds; return how many.

        Also counts the open films anew, and prunes the worklist's index.
        """
        offset = requeued = 0
        while True:
            still_open: int
            healed: int
            looked_at: int
            still_open, healed, looked_at = await self._run("reconcile", offset, PAGE)
            requeued += healed
            offset += still_open
            if looked_at < PAGE:
                break
        await self.recount()
        await self._run("prune", _STUDY_RETENTION_MS, PAGE, random.random())
        return requeued

    async def recount(self) -> None:
        """Count the open films anew, so that room which nobody uses is not refused. Once a minute.

        Workers of 0.1.0 end films without counting them; while such a worker lives, only gateways know better.
        """
        if await self._run("recount", _RECOUNT_AT_MOST):
            logger.warning("counters of open films were wrong", extra={"action": "open_films_recounted"})

    async def heal_clock(self) -> bool:
        """Heal what a clock of Redis that went back left in the future; return whether it had. At every heartbeat.

        Else a dead worker's films would be its own, and waits last, for as long as the jump was. Noticed by what a
        worker announced, so before this one announces itself again; a jump of less than a second is let be.
        """
        if not await self._run("clock", max(self._waits_ms)):
            return False
        logger.warning("Redis' clock went back", extra={"action": "redis_clock_went_back"})
        return True

    async def forget_payload(self, film_id: str, payload: str) -> bool:
        """Note that a finished film's payload is about to be deleted; return whether it may be."""
        return bool(await self._run("forget_payload", film_id, payload))


def _in_milliseconds(deadlines: Deadlines) -> str:
    return json.dumps(
        {
            Priority.STAT: 1000 * deadlines.stat_seconds,
            Priority.ROUTINE: 1000 * deadlines.routine_seconds,
            "of_sites": {name: 1000 * seconds for name, seconds in deadlines.of_sites.items()},
        }
    )
