"""Whatever happens in whatever order: no film is lost, and no film gets two results (RELIABILITY.md §2 R5).

A compact form for every run; ``make bar`` runs it longer (``TRIAGE_STATE_MACHINE_EXAMPLES``).
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Coroutine
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from redis import Redis

from services.jobs import keys
from services.jobs.beat import Beat
from services.jobs.connection import connect_gateway
from services.jobs.queue import JobQueue
from services.jobs.records import Job, JobState, Priority, Record, TakenJob
from services.jobs.worklist import Worklist, WorklistFilter
from tests.support.jobs import SCORED_BY, TIMINGS, make_job, scored
from tests.support.redis_server import EVERY_REDIS, RedisServer

EXAMPLES = int(os.environ.get("TRIAGE_STATE_MACHINE_EXAMPLES", "25"))
STEPS = 40
CONSUMERS = st.sampled_from(["a", "b", "c"])
PRIORITIES = st.sampled_from(list(Priority))

_Answer = TypeVar("_Answer")


class QueueMachine(RuleBasedStateMachine):
    """Drives a real queue, and remembers only what was acknowledged: jobs, and the first result of each."""

    def __init__(self, server: RedisServer) -> None:
        super().__init__()
        self._loop = asyncio.new_event_loop()
        self._sync: Redis = server.client()
        self._sync.flushall()
        self._redis = connect_gateway(server.settings)
        self._queue = JobQueue(self._redis, retry_seconds=(0.0,) * 50)
        self._worklist = Worklist(self._redis)
        self._beat = Beat(self._sync)
        self._accepted: dict[str, Job] = {}  # the spool, as it were
        self._results: dict[str, Record] = {}
        self._taken: list[tuple[str, TakenJob]] = []  # ever handed out, zombies included

    def _await(self, step: Coroutine[Any, Any, _Answer]) -> _Answer:
        return self._loop.run_until_complete(step)

    def _note(self, consumer: str, taken: list[TakenJob]) -> None:
        for one in taken:
            assert one.job == self._accepted[one.job.id]
            self._taken.append((consumer, one))

    # -- what happens --------------------------------------------------------------------------------------------------
    @rule(priority=PRIORITIES, is_repeated=st.booleans())
    def submit(self, priority: Priority, is_repeated: bool) -> None:
        job = make_job(len(self._accepted), priority=priority, study_uid=f"1.2.{len(self._accepted) // 3}")
        for _ in range(1 + is_repeated):
            assert self._await(self._queue.submit(job)).is_new
        self._accepted[job.id] = job

    @rule(data=st.data())
    def submit_known_film_again(self, data: st.DataObject) -> None:
        if self._accepted:
            number = data.draw(st.integers(0, len(self._accepted) - 1))
            assert not self._await(self._queue.submit(make_job(number))).is_new

    @rule(consumer=CONSUMERS, count=st.integers(1, 4))
    def take(self, consumer: str, count: int) -> None:
        taken = self._await(self._queue.take(consumer, count=count, block_ms=0))
        assert all(one.crashes == 0 for one in taken), "suspects run alone"
        self._note(consumer, taken)

    @rule(consumer=CONSUMERS)
    def reap_too_early(self, consumer: str) -> None:
        reaped = self._await(self._queue.reap(consumer, idle_ms=0))
        if reaped is not None:
            assert reaped.crashes > 0
            self._note(consumer, [reaped])

    @rule(data=st.data(), is_flagged=st.booleans(), is_repeated=st.booleans())
    def finish(self, data: st.DataObject, is_flagged: bool, is_repeated: bool) -> None:
        if self._taken:
            _, taken = data.draw(st.sampled_from(self._taken))
            answers = [
                self._await(self._queue.finish(taken, scored(flagged=is_flagged), model=SCORED_BY, timings=TIMINGS))
                for _ in range(1 + is_repeated)
            ]
            assert len(set(answers)) == 1, "a repeated finish has the same answer"

    @rule(data=st.data())
    def retry(self, data: st.DataObject) -> None:
        if self._taken:
            consumer, taken = data.draw(st.sampled_from(self._taken))
            assert self._await(self._queue.retry(consumer, taken))

    @rule()
    def promote(self) -> None:
        self._await(self._queue.promote())

    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        if self._taken:
            consumer, taken = data.draw(st.sampled_from(self._taken))
            self._await(self._queue.release(consumer, [taken]))

    @rule(data=st.data())
    def beat(self, data: st.DataObject) -> None:
        if self._taken:
            consumer, taken = data.draw(st.sampled_from(self._taken))
            self._beat(consumer, [taken])

    @rule()
    def reconcile(self) -> None:
        self._await(self._queue.reconcile())

    # -- what goes wrong -----------------------------------------------------------------------------------------------
    @rule(consumer=st.sampled_from(["a", "b", "c", "released"]), priority=PRIORITIES)
    def delete_consumer(self, consumer: str, priority: Priority) -> None:
        if self._has_group(priority):
            self._sync.xgroup_delconsumer(keys.queue(priority), keys.GROUP, consumer)

    @rule(priority=PRIORITIES)
    def destroy_group(self, priority: Priority) -> None:
        if self._has_group(priority):
            self._sync.xgroup_destroy(keys.queue(priority), keys.GROUP)

    @rule(priority=PRIORITIES, length=st.integers(0, 2))
    def trim(self, priority: Priority, length: int) -> None:
        self._sync.xtrim(keys.queue(priority), maxlen=length, approximate=False)

    @rule()
    def redis_loses_everything(self) -> None:
        self._sync.flushall()
        self._results.clear()
        for job in self._accepted.values():
            assert self._await(self._queue.resubmit(job)).is_new

    def _has_group(self, priority: Priority) -> bool:
        stream = keys.queue(priority)
        return bool(self._sync.exists(stream) and self._sync.xinfo_groups(stream))

    # -- what must hold ------------------------------------------------------------------------------------------------
    @invariant()
    def every_accepted_film_has_a_record_and_a_result_never_changes(self) -> None:
        records = self._await(self._queue.records(list(self._accepted)))
        assert [record.id for record in records] == list(self._accepted)
        for record in records:
            if record.id in self._results:
                assert record == self._results[record.id]
            elif record.state is JobState.DONE:
                self._results[record.id] = record
                assert self._sync.hget(keys.instance(record.id), "commits") == "1"

    @invariant()
    def open_films_are_exactly_those_without_a_result(self) -> None:
        assert set(self._sync.zrange(keys.OPEN, 0, -1)) == set(self._accepted) - set(self._results)

    @invariant()
    def streams_hold_open_films_and_each_once(self) -> None:
        entries = [entry for priority in Priority for entry in self._sync.xrange(keys.queue(priority))]
        queued = [fields["id"] for _, fields in entries]
        assert len(queued) == len(set(queued))
        assert set(queued) <= set(self._sync.zrange(keys.OPEN, 0, -1))

    def teardown(self) -> None:
        try:
            self._work_until_nothing_is_left()
        finally:
            self._await(self._redis.aclose())
            self._sync.close()
            self._loop.close()

    def _work_until_nothing_is_left(self) -> None:
        self._await(self._queue.reconcile())
        for _ in range(10 * (len(self._accepted) + 1)):
            self._await(self._queue.promote())
            taken = self._await(self._queue.take("last", count=8, block_ms=0))
            reaped = self._await(self._queue.reap("last", idle_ms=0)) if not taken else None
            for one in [*taken, *([reaped] if reaped else [])]:
                self._await(self._queue.finish(one, scored(flagged=False), model=SCORED_BY, timings=TIMINGS))
        self.every_accepted_film_has_a_record_and_a_result_never_changes()
        assert set(self._results) == set(self._accepted), "a film was lost"
        for priority in Priority:
            stream = keys.queue(priority)
            assert self._sync.xlen(stream) == 0
            assert not self._has_group(priority) or self._sync.xpending(stream, keys.GROUP)["pending"] == 0
        assert self._sync.zcard(keys.OPEN) == self._sync.zcard(keys.RETRY) == 0
        page = self._await(self._worklist.page(WorklistFilter(), cursor=None, limit=500))
        assert sum(study.films for study in page.studies) == len(self._accepted)
        assert sum(study.pending for study in page.studies) == 0


@pytest.mark.bar
@pytest.mark.parametrize("redis_binary", EVERY_REDIS, indirect=True)
def test_no_order_of_events_loses_a_film_or_gives_it_two_results(shared_redis_server: RedisServer) -> None:
    run_state_machine_as_test(
        lambda: QueueMachine(shared_redis_server),
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
        ),
    )
