"""Films that are taken back: whatever has become of one, it ends ``not_assessed(withdrawn)`` and leaves its study.

The decision that it had goes into its history. The first withdrawal stands; asking again changes nothing, sending the
film again neither, and nobody scores it again. Payload and pictures stay as long as those of any unread film.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Final

from model.decision import not_assessed
from model.errors import Reason
from services.jobs import keys
from services.jobs.errors import JobNotFound
from services.jobs.queue.scripted import Scripted
from services.jobs.records import Record, Timings
from services.jobs.stored import result_of

_OBJECTS_AT_ONCE: Final = 100  # of one rejection note in one call, so that no call holds up Redis for long


@dataclass(frozen=True, kw_only=True)
class Withdrawal:
    """What an order to withdraw a film did. ``is_first`` is False where the film was withdrawn before."""

    record: Record
    is_first: bool


class Withdrawing(Scripted):
    """What senders do with films that they should not have sent."""

    async def withdraw(self, film_id: str) -> Withdrawal:
        """End a film as withdrawn, whether it waits, is held by a worker, or has its outcome.

        A worker that holds it decides nothing any more. Commits also while Redis is out of memory.

        Raises
        ------
        JobNotFound
            If nobody knows the film.
        QueueUnavailable
            If Redis does not answer; the order may have been carried out, and may be repeated.
        """
        verdict, *fields = await self._run("withdraw", film_id, _result(), f"withdrawn:{secrets.token_hex(8)}")
        if verdict == "unknown":
            raise JobNotFound("no such instance")
        return Withdrawal(record=self._record(fields[0]), is_first=bool(int(verdict)))

    async def withdraw_objects(self, site: str, objects: Collection[tuple[str, str]]) -> list[str]:
        """Withdraw every film of these objects, ``(StudyInstanceUID, SOPInstanceUID)``, and those that come later.

        What is not here yet is remembered for as long as records live. Returns the ids of the films that were withdrawn
        by this call; repeating it changes nothing. A Redis that is out of memory refuses it, as it does a submit.

        Raises
        ------
        QueueUnavailable
            If Redis does not answer; some may be withdrawn, and the call may be repeated.
        """
        withdrawn: list[str] = []
        for page in _pages(objects):
            withdrawn += await self._run("reject", site, _result(), *page)
        return withdrawn

    async def knows_rejections(self) -> bool:
        """Return whether Redis has been told of every rejection note; one that has lost everything has not."""
        return bool(await self._ask(self._redis.exists(keys.REJECTIONS)))

    async def note_rejections_known(self) -> None:
        """Note that Redis has been told of every rejection note."""
        await self._ask(self._redis.set(keys.REJECTIONS, "1"))


def _pages(objects: Collection[tuple[str, str]]) -> Iterator[list[str]]:
    named = list(objects)
    for start in range(0, len(named), _OBJECTS_AT_ONCE):
        yield list(chain.from_iterable(named[start : start + _OBJECTS_AT_ONCE]))


def _result() -> str:
    return result_of(not_assessed(Reason.WITHDRAWN), scored_by=None, timings=Timings()).model_dump_json()
