"""What a delivery process does with the decisions of a queue that everything happens to."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from services.jobs import lua
from services.jobs.delivery_outbox import Owed
from tests.support.queue_orders import OrderedQueue
from tests.support.queue_sight import TARGET
from tests.support.redis_server import RedisServer

ENDS = st.sampled_from(["delivered", "nothing", "later", "nothing", "give_back", "dead"])


class DeliveringQueue(OrderedQueue):
    """Rules of one target; a process that dies with a lease is one that does nothing any more."""

    def __init__(self, server: RedisServer, *, source: Callable[[str], str] = lua.source) -> None:
        super().__init__(server, source=source)
        self.leases = 0

    @rule(count=st.integers(1, 4), end=ENDS, is_repeated=st.booleans())
    def deliver(self, count: int, end: str, is_repeated: bool) -> None:
        leased = self._await(self._outbox.lease(TARGET, count=count))
        assert len(leased) <= count
        for owed in leased:
            self.leases += 1
            self._check(owed)
            for _ in range(1 + is_repeated):
                self._end(owed, end)

    @precondition(lambda self: self._model.held)
    @rule(data=st.data())
    def take_back_what_somebody_sends(self, data: st.DataObject) -> None:
        """Few examples would withdraw one of these by chance."""
        member = data.draw(st.sampled_from(sorted(self._model.held)))
        self._withdraw(self._model.accepted[member.partition(":")[0]])
        self.everything_holds()  # tells the model what came of it
        for owed in self._await(self._outbox.lease(TARGET, count=100)):
            self._check(owed)
            self._end(owed, "give_back")

    def _check(self, owed: Owed) -> None:
        model = self._model
        assert owed.member == model.last_decision(owed.film_id), "only the last decision goes out"
        assert owed.member not in model.told, "and once"
        assert owed.member not in self._model.held, "its lease is not over"
        earlier = [f"{owed.film_id}:{number}" for number in range(1, owed.commit)]
        assert not self._model.held.intersection(earlier), "nothing overtakes what somebody sends"
        past = model.past.get(owed.film_id, [])
        assert owed.record == (model.results.get(owed.film_id) or past[-1])
        assert [was.done_at for was in owed.past] == [was.done_at for was in past[: owed.commit - 1]]

    def _end(self, owed: Owed, end: str) -> None:
        match end:
            case "delivered":
                self._await(self._outbox.delivered(owed))
                self._model.told.add(owed.member)
            case "dead":
                self._await(self._outbox.dead(owed, reason="refused"))
                self._model.told.add(owed.member)
                self._model.buried.add(owed.member)
            case "later":
                self._await(self._outbox.later(owed, wait_ms=0, reason="unreachable"))
            case "give_back":
                self._await(self._outbox.give_back(owed))
            case _:
                self._model.held.add(owed.member)
