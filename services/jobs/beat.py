"""The beat that keeps held films from being reaped.

Synchronous, for a thread and a connection of its own, so that a busy event loop or a long inference cannot make a live
worker look dead. Knows no threads itself: the worker's heartbeat does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import cast

from redis import Redis

from services.jobs import keys, lua
from services.jobs.connection import translate_redis_errors
from services.jobs.records import TakenJob


class Beat:
    """One beat over one synchronous connection, which comes from ``connect_heartbeat``.

    ``source`` is where the text of the script comes from.
    """

    def __init__(self, redis: Redis, *, source: Callable[[str], str] = lua.source) -> None:
        self._script = redis.register_script(source("beat"))

    def __call__(self, consumer: str, held: Sequence[TakenJob]) -> Sequence[str]:
        """Keep the held films alive; return the ids of those that belong to another by now, or to nobody.

        Lost films are to be dropped; finishing one all the same does no harm, the first writer wins.

        Raises
        ------
        QueueUnavailable
            If Redis does not answer within the client's patience; the next beat may.
        """
        entries = [part for taken in held for part in (taken.job.priority, taken.message_id, taken.job.id)]
        if not entries:
            return []
        with translate_redis_errors():
            return cast(list[str], self._script(keys=[keys.OPEN], args=[consumer, *entries]))
