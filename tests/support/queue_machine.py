"""A state machine that drives a real queue through whatever may happen, in whatever order (RELIABILITY.md §2 R5).

No film is lost, none gets two results of one run, and everything that is counted is what the films amount to.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule

from model.decision import Decision
from model.errors import Reason
from services.jobs import keys, lua
from services.jobs.beat import Beat
from services.jobs.errors import SiblingUnseen
from services.jobs.records import Job, JobState, Priority, TakenJob
from services.jobs.spool import payload_name
from tests.support.jobs import SCORED_BY, TIMINGS, lateral, make_job, scored, unread
from tests.support.queue_deliveries import DeliveringQueue
from tests.support.queue_model import DEADLINES, finisher
from tests.support.redis_server import RedisServer

CONSUMERS = st.sampled_from(["a", "b", "c"])
PRIORITIES = st.sampled_from(list(Priority))
FILMS = st.tuples(PRIORITIES, st.sampled_from(["north", "south"]), st.integers(1, 30))
DECISIONS: st.SearchStrategy[Decision] = st.sampled_from(
    [
        *(scored(flagged=True), scored(flagged=False), unread(), lateral()),
        *(unread(Reason.WORKER_CRASH), unread(Reason.WITHDRAWN)),
    ]
)
LONG_AGO_MS = 1_000_000_000_000  # by the callers' clock every deadline is over; Redis' clock decides


class QueueMachine(DeliveringQueue):
    """Does whatever callers, operators, time and accidents may do; the model says what each step has to answer."""

    def __init__(self, server: RedisServer, *, source: Callable[[str], str] = lua.source) -> None:
        super().__init__(server, source=source)
        self._beat = Beat(self._sync, source=source)
        self._taken: list[tuple[str, TakenJob]] = []  # ever handed out, zombies included
        self.refusals = 0

    @property
    def film_ids(self) -> list[str]:
        return list(self._model.accepted)

    def _note(self, consumer: str, taken: list[TakenJob]) -> None:
        for one in taken:
            assert one.job == self._model.accepted[one.job.id]
            assert one.run == self._model.run(one.job.id)
            self._taken.append((consumer, one))

    def _draw_taken(self, data: st.DataObject) -> tuple[str, TakenJob]:
        return data.draw(st.sampled_from(self._taken))

    @initialize(films=st.lists(FILMS, min_size=2, max_size=8), decision=DECISIONS, count=st.integers(0, 8))
    def begin_with_some(self, films: list[tuple[Priority, str, int]], decision: Decision, count: int) -> None:
        """Films before the first worker; and films that are done, or few examples would score one again."""
        self.submit(films, is_repeated=False)
        if count:
            self.work("a", count, decision)

    # -- what happens --------------------------------------------------------------------------------------------------
    @rule(films=st.lists(FILMS, min_size=1, max_size=6), is_repeated=st.booleans())
    def submit(self, films: list[tuple[Priority, str, int]], is_repeated: bool) -> None:
        for priority, site, payload_bytes in films:
            number = len(self._model.accepted)
            job = make_job(
                number, priority=priority, site=site, study_uid=f"1.2.{number // 3}", submitted_ms=LONG_AGO_MS + number
            )
            job = replace(job, payload_bytes=payload_bytes, sop_instance_uid=f"1.2.3.{number // 4}")
            self._submit(job, times=1 + is_repeated)

    def _submit(self, job: Job, *, times: int) -> None:
        room = partial(self._queue.check_room, priority=job.priority, site=job.site, payload_bytes=job.payload_bytes)
        refused = self._model.refusal(job, depth=self._depth())
        if refused is not None:
            self.refusals += 1
            for ask in (room, partial(self._queue.submit, job)):
                with pytest.raises(refused):
                    self._await(ask())
            assert not self._sync.exists(keys.instance(job.id))
            return
        self._await(room())
        before = self._model.objects.get((job.site, job.sop_instance_uid or ""), [])
        if before:
            with pytest.raises(SiblingUnseen):
                self._await(self._queue.submit(job))
        newest = before[-1] if before else None
        for _ in range(times):
            submission = self._await(self._queue.submit(job, compared_with=newest))
            assert (submission.is_new, submission.revises) == (True, newest)
        self._model.accept(job)

    @precondition(lambda self: self._model.accepted)
    @rule(data=st.data())
    def submit_known_film_again(self, data: st.DataObject) -> None:
        job = self._draw_accepted(data)
        try:
            assert not self._await(self._queue.submit(replace(job, payload=payload_name(job.id)))).is_new
        except SiblingUnseen as error:
            raise AssertionError("what is known is compared with nothing") from error

    @rule(consumer=CONSUMERS, count=st.integers(1, 4))
    def take(self, consumer: str, count: int) -> None:
        self._take(consumer, count)

    def _take(self, consumer: str, count: int) -> list[TakenJob]:
        taken = self._await(self._queue.take(consumer, count=count, block_ms=0))
        assert all(one.crashes == 0 for one in taken), "suspects run alone"
        self._note(consumer, taken)
        if len(taken) < count and self._is_whole:
            assert not self._waiting(), "what waits is handed out"
        return taken

    @rule(consumer=CONSUMERS)
    def reap_too_early(self, consumer: str) -> None:
        has_suspects = self._await(self._queue.has_suspects(consumer, idle_ms=0))
        reaped = self._await(self._queue.reap(consumer, idle_ms=0))
        if reaped is not None:
            assert has_suspects, "no worker would have looked for it"
            assert reaped.crashes > 0, "counted before it runs"
            self._note(consumer, [reaped])

    @rule(consumer=CONSUMERS, count=st.integers(1, 8), decision=DECISIONS)
    def work(self, consumer: str, count: int, decision: Decision) -> None:
        for one in self._take(consumer, count):
            self._finish(one, decision)

    @precondition(lambda self: self._taken)
    @rule(data=st.data(), decision=DECISIONS, is_repeated=st.booleans())
    def finish(self, data: st.DataObject, decision: Decision, is_repeated: bool) -> None:
        _, taken = self._draw_taken(data)
        self._finish(taken, decision, times=1 + is_repeated)

    @precondition(lambda self: self._of_earlier_runs())
    @rule(data=st.data(), decision=DECISIONS)
    def finish_of_an_earlier_run(self, data: st.DataObject, decision: Decision) -> None:
        self._finish(data.draw(st.sampled_from(self._of_earlier_runs())), decision)

    def _of_earlier_runs(self) -> list[TakenJob]:
        return [taken for _, taken in self._taken if taken.run < self._model.run(taken.job.id)]

    def _finish(self, taken: TakenJob, decision: Decision, *, times: int = 1) -> None:
        wins = self._model.wins(taken)
        is_first = taken.job.id not in self._model.results
        scored_by = SCORED_BY if decision.outcome.is_scored else None
        for _ in range(times):
            assert self._await(self._queue.finish(taken, decision, model=scored_by, timings=TIMINGS)) == wins
        if wins and is_first:
            self._model.winners[taken.job.id] = finisher(taken)
            (self._model.lateral.add if decision.is_lateral else self._model.lateral.discard)(taken.job.id)

    @precondition(lambda self: self._taken)
    @rule(data=st.data())
    def retry(self, data: st.DataObject) -> None:
        consumer, taken = self._draw_taken(data)
        is_held, before = self._is_held(consumer, taken), self._record(taken.job.id)
        assert self._await(self._queue.retry(consumer, taken))
        after = self._record(taken.job.id)
        assert after.state is JobState.QUEUED if is_held else after == before

    @rule()
    def promote(self) -> None:
        self._await(self._queue.promote())

    @precondition(lambda self: self._taken)
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        consumer, taken = self._draw_taken(data)
        is_held, before = self._is_held(consumer, taken), self._record(taken.job.id)
        self._await(self._queue.release(consumer, [taken]))
        after = self._record(taken.job.id)
        if is_held:
            assert (after.state, after.attempts) == (JobState.QUEUED, before.attempts - 1)
        else:
            assert after == before

    @precondition(lambda self: self._taken)
    @rule(data=st.data())
    def beat(self, data: st.DataObject) -> None:
        consumer, taken = self._draw_taken(data)
        lost = [] if self._is_held(consumer, taken) else [taken.job.id]
        assert self._beat(consumer, [taken]) == lost

    @rule()
    def reconcile(self) -> None:
        requeued = self._await(self._queue.reconcile())
        assert not (self._is_whole and requeued), "a healthy queue is left alone"
        self._is_whole = True

    # -- what time does ------------------------------------------------------------------------------------------------
    @precondition(lambda self: self._model.open)
    @rule(data=st.data(), seconds=st.sampled_from([1600, 2700]))
    def wait_long(self, data: st.DataObject, seconds: int) -> None:
        job = data.draw(st.sampled_from(self._model.open))
        self._sync.zincrby(keys.OPEN, -1000 * seconds, job.id)
        self._model.open_seconds[job.id] += seconds

    @rule()
    def expire(self) -> None:
        late = self._model.late()
        assert self._await(self._queue.expire(DEADLINES)) == len(late)
        for film_id in late:
            assert self._record(film_id).reason is Reason.DEADLINE
            self._model.winners.pop(film_id, None)
            self._model.lateral.discard(film_id)

    @precondition(lambda self: self._model.owed)
    @rule(data=st.data())
    def write_into_ledger(self, data: st.DataObject) -> None:
        member = data.draw(st.sampled_from(sorted(self._model.owed)))
        self._sync.zrem(keys.LEDGER_DUE, member)
        self._model.owed.remove(member)
