"""What must hold of a real queue after every step, whatever was done to it; and that it can be worked empty."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeVar

from hypothesis.stateful import RuleBasedStateMachine, invariant
from redis import Redis

from services.jobs import keys, lua
from services.jobs.connection import connect_gateway
from services.jobs.delivery_outbox import DeliveryOutbox
from services.jobs.queue import JobQueue
from services.jobs.records import JobState, Priority, Record, TakenJob
from services.jobs.worklist import Worklist, WorklistFilter
from tests.support.invariant import safety_violations
from tests.support.jobs import SCORED_BY, TIMINGS, scored
from tests.support.queue_model import LIMITS, QueueModel
from tests.support.queue_sight import TARGET, Sight, look
from tests.support.redis_server import RedisServer

_Answer = TypeVar("_Answer")

_LONG_FILE_BYTES: Final = 1024**2


class WatchedQueue(RuleBasedStateMachine):
    """A queue with the ``QueueModel`` beside it that says what it has to be.

    ``source`` is where the queue has its scripts from; ``_is_whole`` says that since the last reconcile nobody took
    entries out of streams or lists of pending behind the queue's back.
    """

    def __init__(self, server: RedisServer, *, source: Callable[[str], str] = lua.source) -> None:
        super().__init__()
        self._loop = asyncio.new_event_loop()
        self._server = server
        self._sync: Redis = server.client()
        self._sync.flushall()
        self._forget_earlier_examples()
        self._redis = connect_gateway(server.settings)
        self._queue = JobQueue(self._redis, limits=LIMITS, retry_seconds=(0.0,) * 50, source=source)
        self._worklist = Worklist(self._redis)
        self._outbox = DeliveryOutbox(self._redis, lease_ms=3_600_000, source=source)  # no example lasts as long
        self._await(self._outbox.announce([TARGET]))
        self._model = QueueModel()
        self._is_whole = True
        self._seen: dict[str, list[str | None]] = {}

    def _forget_earlier_examples(self) -> None:
        """Have Redis write its file anew now and then, or each start after a kill would read all of them."""
        facts = self._sync.info("persistence")
        if facts["aof_current_size"] > _LONG_FILE_BYTES and not facts["aof_rewrite_in_progress"]:
            self._sync.bgrewriteaof()

    def _await(self, step: Coroutine[Any, Any, _Answer]) -> _Answer:
        return self._loop.run_until_complete(step)

    def _depth(self) -> int:
        return sum(self._sync.xlen(keys.queue(priority)) for priority in Priority) + self._sync.zcard(keys.RETRY)

    def _is_held(self, consumer: str, taken: TakenJob) -> bool:
        stream, at = keys.queue(taken.job.priority), taken.message_id
        if not self._has_group(taken.job.priority):
            return False
        return bool(self._sync.xpending_range(stream, keys.GROUP, at, at, 1, consumername=consumer))

    def _has_group(self, priority: Priority) -> bool:
        stream = keys.queue(priority)
        return bool(self._sync.exists(stream) and self._sync.xinfo_groups(stream))

    def _record(self, film_id: str) -> Record:
        return self._await(self._queue.record(film_id))

    def _waiting(self) -> list[str]:
        """Films that a take has to hand out: queued, not put off, never crashed with."""
        pipe = self._sync.pipeline(transaction=False)
        pipe.zrange(keys.RETRY, 0, -1)
        for job in self._model.open:
            pipe.hmget(keys.instance(job.id), "state", "crashes")
        put_off, *facts = pipe.execute()
        return [
            job.id
            for job, fact in zip(self._model.open, facts, strict=True)
            if fact == [JobState.QUEUED, "0"] and job.id not in put_off
        ]

    # -- what must hold ------------------------------------------------------------------------------------------------
    @invariant()
    def everything_holds(self) -> None:
        sight = look(self._sync, self._model)
        self._every_accepted_film_has_a_record_and_a_result_never_changes(sight)
        self._what_is_counted_of_open_films_is_what_they_amount_to(sight)
        self._streams_hold_open_films_and_each_once(sight)
        assert sight.objects == self._model.objects, "objects are known as the films that they are"
        assert sight.owed == self._model.owed, "every decision is owed to the ledger until it is there"
        self._the_last_decision_of_every_film_is_owed_to_the_target_until_it_has_it(sight)
        self._studies_are_listed_as_what_their_films_amount_to()

    def _every_accepted_film_has_a_record_and_a_result_never_changes(self, sight: Sight) -> None:
        # What was seen of a film before still holds while its hash is the same.
        changed = [film_id for film_id, fields in sight.films.items() if fields != self._seen.get(film_id)]
        self._seen = sight.films
        records = self._await(self._queue.records(changed))
        assert [record.id for record in records] == changed
        for record in records:
            if record.id in self._model.results:
                assert record == self._model.results[record.id]
            elif record.state is JobState.DONE:
                self._model.end(record)
                assert self._sync.hget(keys.instance(record.id), "commits") == "1"

    def _what_is_counted_of_open_films_is_what_they_amount_to(self, sight: Sight) -> None:
        films = self._model.open
        sites = [job.site for job in films]
        assert sight.open_ids == {job.id for job in films}
        assert sight.open_bytes == sum(job.payload_bytes for job in films)
        assert sight.of_sites == {site: str(sites.count(site)) for site in sites}

    def _streams_hold_open_films_and_each_once(self, sight: Sight) -> None:
        assert len(sight.queued) == len(set(sight.queued))
        assert set(sight.queued) <= {job.id for job in self._model.open}

    def _the_last_decision_of_every_film_is_owed_to_the_target_until_it_has_it(self, sight: Sight) -> None:
        last = {self._model.last_decision(film_id) for film_id in self._model.results}
        assert sight.due == sight.since
        assert last - self._model.told <= sight.due
        assert not sight.due & self._model.told

    def _studies_are_listed_as_what_their_films_amount_to(self) -> None:
        page = self._await(self._worklist.page(WorklistFilter(), cursor=None, limit=500))
        assert {
            (study.site, study.study_uid): (study.outcome, study.films, study.pending, study.unread)
            for study in page.studies
        } == self._model.studies()

    def teardown(self) -> None:
        try:
            self._work_until_nothing_is_left()
        finally:
            self._await(self._redis.aclose())
            self._sync.close()
            self._loop.close()

    def _work_until_nothing_is_left(self) -> None:
        self._await(self._queue.reconcile())
        for _ in range(10 * (len(self._model.accepted) + 1)):
            self._await(self._queue.promote())
            taken = self._await(self._queue.take("last", count=8, block_ms=0))
            reaped = self._await(self._queue.reap("last", idle_ms=0)) if not taken else None
            for one in [*taken, *([reaped] if reaped else [])]:
                self._await(self._queue.finish(one, scored(flagged=False), model=SCORED_BY, timings=TIMINGS))
                self._model.lateral.discard(one.job.id)
            if not self._sync.zcard(keys.OPEN):
                break
        self.everything_holds()
        assert not self._model.open, "a film was lost"
        for priority in Priority:
            stream = keys.queue(priority)
            assert self._sync.xlen(stream) == 0
            assert not self._has_group(priority) or self._sync.xpending(stream, keys.GROUP)["pending"] == 0
        assert self._sync.zcard(keys.RETRY) == 0
        assert safety_violations(self._sync) == []
