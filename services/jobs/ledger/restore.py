"""From the trail back to Redis: every ledgered outcome that Redis has lost, as it was.

Only what a sound trail says comes back: an unread film must never look healthy because somebody edited a file.
Place in the walk: after a loss. Any number may run at once, and every step may be repeated.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

from redis.asyncio import Redis

from model.decision import Outcome
from services.jobs import keys, lua
from services.jobs.connection import bounded
from services.jobs.errors import LedgerUnavailable, RecordCorrupt
from services.jobs.ledger.assessed import read_assessments
from services.jobs.ledger.entries import AuditEvent, Head
from services.jobs.ledger.heads import Heads
from services.jobs.ledger.lost import LostFilm
from services.jobs.ledger.policies import read_policies
from services.jobs.ledger.reading import LedgeredFilm, read_films
from services.jobs.ledger.rejections import read_rejections
from services.jobs.ledger.trail import AuditTrail
from services.jobs.ledger.verify import Verification, verify
from services.jobs.lost_assessments import ASSESSED_LIVE, LostAssessments
from services.jobs.policies import Policies
from services.jobs.records import Job
from services.jobs.stored import load_job

logger = logging.getLogger(__name__)

RECORDS_LIVE: Final = timedelta(days=31)  # RECORD_SECONDS of shared.lua
LONGEST_LOOK_SECONDS: Final = 30.0  # 1.5 million lines; a start has open films wait for it
_CLOCKS_DIFFER_MS: Final = 86_400_000
_AT_ONCE: Final = 64  # scripts on their way, so that one sync of Redis' log serves many
_FILMS_IN_MEMORY: Final = 20_000  # 16 KB each with 14 findings (measured 2026-11-21), and its command has the machine
_OPEN_FILMS: Final = 50_000  # more than may be open
_PATIENCE_SECONDS: Final = 10.0

_Seen = TypeVar("_Seen")


class Restored(StrEnum):
    """What became of a film that the trail knows."""

    RESTORED = "restored"
    KNOWN = "known"  # Redis has its outcome
    REOPENED = "reopened"  # it is to be scored again, or was when it was lost
    EXPIRED = "expired"  # its record would not live any more
    UNTRUSTED = "untrusted"  # says not_flagged, and something speaks against the trail


class LedgerReader:
    """Reads the trail when something is missing, and gives Redis back what it says.

    With ``patience_seconds`` a look at the trail that takes longer counts as failed: films wait behind it. With
    ``trusts_marks`` a Redis that was told all that the trail says is not told again; one that was brought back from an
    older copy says the same, and knows nothing of what came after.
    """

    def __init__(
        self,
        redis: Redis,
        trail: AuditTrail,
        *,
        patience_seconds: float | None = LONGEST_LOOK_SECONDS,
        trusts_marks: bool = True,
    ) -> None:
        self._redis = redis
        self._trail = trail
        self._patience_seconds = patience_seconds
        self.trusts_marks = trusts_marks
        # Its own: looks that a disk holds for ever would take one after another of the threads that films need.
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="audit-reader")
        self._heads = Heads(redis)
        self._script = redis.register_script(lua.source("restore"))

    async def restore(self, jobs: Sequence[Job]) -> set[str]:
        """Give these films, which Redis does not know, the outcomes that the trail has; return the ids of those.

        ``jobs`` are the spool's sidecars, so that records name their payloads. Where anything speaks against the part
        of the trail that is read, nothing is restored: the payloads are there, and scoring them again is safe.

        Raises
        ------
        QueueUnavailable, LedgerUnavailable
            If Redis or the trail cannot be read; what was restored until then stays.
        """
        wanted = {job.id: job for job in jobs}
        since_ms = min(job.submitted_ms for job in jobs) - _CLOCKS_DIFFER_MS
        heads = await self._heads.known()
        report, films = await self._read(heads, is_wanted=wanted.__contains__, since_ms=since_ms)
        if not report.is_sound:
            facts = {"action": "ledger_unsound", "findings": len(report.findings)}
            logger.error("audit trail is not sound, films are scored again", extra=facts)
            return set()
        ends = await self._restore_all([LostFilm(wanted[film_id], film, True) for film_id, film in films.items()])
        if count := sum(end is Restored.RESTORED for end in ends.values()):
            self._trail.note(AuditEvent.RESTORED, count=count)
        return {film_id for film_id, end in ends.items() if end in (Restored.RESTORED, Restored.KNOWN)}

    async def restore_open(self) -> int:
        """Give open films the outcomes that the trail has of them; return how many had one.

        A Redis that lost the tail of its log takes films for open that were finished. Raises as ``restore`` does.
        """
        async with bounded(_PATIENCE_SECONDS):
            film_ids: Any = await self._redis.zrange(keys.OPEN, 0, _OPEN_FILMS - 1)
            pipe = self._redis.pipeline(transaction=False)
            for film_id in film_ids:
                pipe.hget(keys.instance(film_id), "job")
            texts = [text for text in await pipe.execute() if text is not None]
        jobs = []
        for text in texts:
            with suppress(RecordCorrupt):  # it ends at its deadline
                jobs.append(load_job(text))
        return len(await self.restore(jobs)) if jobs else 0

    async def rejected_objects(self) -> dict[str, set[str]]:
        """Return the SOPInstanceUIDs that rejection notes of the last 31 days name, by site; raises as ``restore``."""
        return await self.look(partial(read_rejections, since_ms=_since_ms(is_trusted=True)))

    async def restore_policies(self) -> None:
        """Give Redis back the policies of the trail, where it does not know of them; raises as ``restore``."""
        policies = Policies(self._redis)
        if not (self.trusts_marks and await policies.is_known()):
            if await policies.restore(await self.look(read_policies)):
                logger.warning("policies restored from the trail", extra={"action": "policies_restored"})
            await policies.note_known()

    async def restore_assessments(self) -> None:
        """Give Redis back what readers said, where it does not know of it; raises as ``restore``."""
        lost = LostAssessments(self._redis)
        if not (self.trusts_marks and await lost.is_known()):
            since_ms = int(1000 * (time.time() - ASSESSED_LIVE.total_seconds()))
            if await lost.give_back(await self.look(partial(read_assessments, since_ms=since_ms))):
                logger.warning("assessments restored from the trail", extra={"action": "assessments_restored"})
            await lost.note_known()

    async def look(self, read: Callable[[Path, Mapping[str, Head]], _Seen]) -> _Seen:
        """Return what somebody reads in the trail, by its directory and known heads; raises as ``restore``."""
        return await self._look(partial(read, self._trail.directory, await self._heads.known()))

    async def verify(self) -> Verification:
        """Return whether the whole trail is sound; raise QueueUnavailable or LedgerUnavailable."""
        heads = await self._heads.known()
        return await asyncio.to_thread(verify, self._trail.directory, heads)

    async def restore_everything(self, report: Verification) -> Counter[Restored]:
        """Give Redis back every outcome of the last 31 days that it does not know; those records name no payload.

        Where ``report`` says that something speaks against the trail, only what is safe even then comes back: chains
        with findings say nothing, and no other says ``not_flagged``, because a later flag may have stood in a line that
        is gone.

        Raises
        ------
        QueueUnavailable, LedgerUnavailable
            If Redis or the trail cannot be read; what was restored until then stays.
        """
        heads, film_ids = await self._heads.known(), set[str]()

        def only_count(film_id: str) -> bool:
            film_ids.add(film_id)
            return False

        await self._read(heads, is_wanted=only_count, since_ms=_since_ms(is_trusted=report.is_sound))
        # As many looks at the trail as keep the films of one look in memory.
        looks = 1 + len(film_ids) // _FILMS_IN_MEMORY
        ends = Counter[Restored]()
        for look in range(looks):
            ends.update(await self._restore_part(heads, look, looks, is_trusted=report.is_sound))
        self._trail.note(AuditEvent.RESTORED, is_success=report.is_sound, count=ends[Restored.RESTORED])
        return ends

    async def _restore_part(
        self, heads: Mapping[str, Head], look: int, looks: int, *, is_trusted: bool
    ) -> Counter[Restored]:
        """Restore the films of which this look is to care, by their ids."""
        _, films = await self._read(
            heads,
            is_wanted=lambda film_id: int(film_id[:8], 16) % looks == look,
            since_ms=_since_ms(is_trusted=is_trusted),
        )
        lost = [
            LostFilm(film.decisions[-1].job, film, False) for film in films.values() if is_trusted or _is_safe(film)
        ]
        ends = Counter((await self._restore_all(lost)).values())
        ends[Restored.UNTRUSTED] += len(films) - len(lost)
        return ends

    async def _read(
        self, heads: Mapping[str, Head], *, is_wanted: Callable[[str], bool], since_ms: int
    ) -> tuple[Verification, dict[str, LedgeredFilm]]:
        return await self._look(
            partial(read_films, self._trail.directory, heads, is_wanted=is_wanted, since_ms=since_ms)
        )

    async def _look(self, look: Callable[[], _Seen]) -> _Seen:
        try:
            async with asyncio.timeout(self._patience_seconds):
                return await asyncio.get_running_loop().run_in_executor(self._thread, look)
        except TimeoutError as error:
            raise LedgerUnavailable("the audit trail takes too long to read") from error

    async def _restore_all(self, lost: Sequence[LostFilm]) -> dict[str, Restored]:
        ends: dict[str, Restored] = {}
        for start in range(0, len(lost), _AT_ONCE):
            page = lost[start : start + _AT_ONCE]
            answers = await asyncio.gather(*(self._restore_one(one) for one in page))
            ends |= {one.job.id: answer for one, answer in zip(page, answers, strict=True)}
        return ends

    async def _restore_one(self, lost: LostFilm) -> Restored:
        if lost.film.is_open:
            return Restored.REOPENED
        async with bounded(_PATIENCE_SECONDS):
            return Restored(await self._script(keys=[keys.OPEN], args=lost.arguments()))


def _since_ms(*, is_trusted: bool) -> int:
    """Return when a chain may have ended to matter for records that live; all matter where one has findings."""
    return int(1000 * (time.time() - RECORDS_LIVE.total_seconds())) - _CLOCKS_DIFFER_MS if is_trusted else 0


def _is_safe(film: LedgeredFilm) -> bool:
    """Return whether nobody would be looked at later for what the film says."""
    return film.decisions[-1].result.outcome is not Outcome.NOT_FLAGGED
