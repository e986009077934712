"""What senders, admins and operators order of films that were accepted, at any moment."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from model.errors import Reason
from services.jobs import lua
from services.jobs.records import Job
from tests.support.queue_accidents import AccidentalQueue
from tests.support.redis_server import RedisServer


class OrderedQueue(AccidentalQueue):
    """Rules that change a film's course from outside."""

    def __init__(self, server: RedisServer, *, source: Callable[[str], str] = lua.source) -> None:
        super().__init__(server, source=source)
        self.rescores = self.withdrawals = 0

    def _draw_accepted(self, data: st.DataObject) -> Job:
        return data.draw(st.sampled_from(list(self._model.accepted.values())))

    @precondition(lambda self: self._model.accepted)
    @rule(data=st.data(), by_our_fault=st.sampled_from([False, False, True]), is_repeated=st.booleans())
    def score_again(self, data: st.DataObject, by_our_fault: bool, is_repeated: bool) -> None:
        job = data.draw(st.sampled_from([self._model.accepted[i] for i in self._model.results] or self._model.open))
        act = self._queue.requeue if by_our_fault else self._queue.rescore
        refused = self._model.refusal_to_reopen(job.id, depth=self._depth(), by_our_fault=by_our_fault)
        if refused is not None:
            with pytest.raises(refused):
                self._await(act(job.id))
            return
        for _ in range(1 + is_repeated):
            assert self._await(act(job.id)).outcome is None
        if job.id in self._model.results:
            self.rescores += 1
            self._model.reopen(job.id)
        past = self._await(self._queue.history(job.id))
        assert [(was.outcome, was.done_at) for was in past] == [
            (was.outcome, was.done_at) for was in self._model.past[job.id]
        ]

    @precondition(lambda self: self._model.accepted)
    @rule(data=st.data())
    def forget_payload(self, data: st.DataObject) -> None:
        job = self._draw_accepted(data)
        is_done = job.id in self._model.results and job.id not in self._model.forgotten
        # Its report is made from it, also where somebody asks for it again.
        may_be = is_done and self._model.last_decision(job.id) in self._model.told - self._model.buried
        assert self._await(self._queue.forget_payload(job.id, job.payload)) == may_be
        if may_be:
            self._model.forgotten.add(job.id)

    @precondition(lambda self: self._model.accepted)
    @rule(data=st.data(), is_repeated=st.booleans())
    def withdraw(self, data: st.DataObject, is_repeated: bool) -> None:
        self._withdraw(self._draw_accepted(data), is_repeated=is_repeated)

    def _withdraw(self, job: Job, *, is_repeated: bool = False) -> None:
        was = self._model.results.get(job.id)
        is_first = was is None or was.reason is not Reason.WITHDRAWN
        assert self._await(self._queue.withdraw(job.id)).is_first == is_first
        if is_repeated:
            assert not self._await(self._queue.withdraw(job.id)).is_first
        assert self._record(job.id).reason is Reason.WITHDRAWN
        if is_first:
            self.withdrawals += 1
            self._model.withdraw(job.id)
