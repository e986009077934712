"""What must hold of a real queue after every step, whatever was done to it; and that it can be worked empty."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from hypothesis.stateful import RuleBasedStateMachine, invariant
from redis import Redis

from services.jobs import keys, lua
from services.jobs.connection import connect_gateway
from services.jobs.queue import JobQueue
from services.jobs.records import JobState, Priority, Record, TakenJob
from services.jobs.worklist import Worklist, WorklistFilter
from tests.support.invariant import safety_violations
from tests.support.jobs import SCORED_BY, TIMINGS, scored
from tests.support.queue_model import LIMITS, QueueModel
from tests.support.redis_server import RedisServer

_Answer = TypeVar("_Answer")


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
        self._redis = connect_gateway(server.settings)
        self._queue = JobQueue(self._redis, limits=LIMITS, retry_seconds=(0.0,) * 50, source=source)
        self._worklist = Worklist(self._redis)
        self._model = QueueModel()
        self._is_whole = True

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
        waiting = []
        for job in self._model.open:
            state, crashes = self._sync.hmget(keys.instance(job.id), "state", "crashes")
            if state == JobState.QUEUED and crashes == "0" and self._sync.zscore(keys.RETRY, job.id) is None:
                waiting.append(job.id)
        return waiting

    # -- what must hold ------------------------------------------------------------------------------------------------
    @invariant()
    def every_accepted_film_has_a_record_and_a_result_never_changes(self) -> None:
        records = self._await(self._queue.records(list(self._model.accepted)))
        assert [record.id for record in records] == list(self._model.accepted)
        for record in records:
            if record.id in self._model.results:
                assert record == self._model.results[record.id]
            elif record.state is JobState.DONE:
                self._model.end(record)
                assert self._sync.hget(keys.instance(record.id), "commits") == "1"

    @invariant()
    def what_is_counted_of_open_films_is_what_they_amount_to(self) -> None:
        films = self._model.open
        assert set(self._sync.zrange(keys.OPEN, 0, -1)) == {job.id for job in films}
        assert int(self._sync.get(keys.OPEN_BYTES) or 0) == sum(job.payload_bytes for job in films)
        sites = [job.site for job in films]
        assert self._sync.hgetall(keys.OPEN_OF_SITE) == {site: str(sites.count(site)) for site in sites}

    @invariant()
    def streams_hold_open_films_and_each_once(self) -> None:
        entries = [entry for priority in Priority for entry in self._sync.xrange(keys.queue(priority))]
        queued = [fields["id"] for _, fields in entries]
        assert len(queued) == len(set(queued))
        assert set(queued) <= {job.id for job in self._model.open}

    @invariant()
    def every_decision_is_owed_to_the_ledger_until_it_is_there(self) -> None:
        assert set(self._sync.zrange(keys.LEDGER_DUE, 0, -1)) == self._model.owed

    @invariant()
    def studies_are_listed_as_what_their_films_amount_to(self) -> None:
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
        self.every_accepted_film_has_a_record_and_a_result_never_changes()
        assert not self._model.open, "a film was lost"
        for holds in (
            self.what_is_counted_of_open_films_is_what_they_amount_to,
            self.every_decision_is_owed_to_the_ledger_until_it_is_there,
            self.studies_are_listed_as_what_their_films_amount_to,
        ):
            holds()
        for priority in Priority:
            stream = keys.queue(priority)
            assert self._sync.xlen(stream) == 0
            assert not self._has_group(priority) or self._sync.xpending(stream, keys.GROUP)["pending"] == 0
        assert self._sync.zcard(keys.RETRY) == 0
        assert safety_violations(self._sync) == []
