"""What goes wrong in Redis behind the queue's back: hands, kills, losses."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from services.jobs import keys, lua
from services.jobs.records import Priority
from tests.support.queue_sight import TARGET
from tests.support.queue_watch import WatchedQueue
from tests.support.redis_server import RedisServer

PRIORITIES = st.sampled_from(list(Priority))


class AccidentalQueue(WatchedQueue):
    """Rules that no caller can do."""

    def __init__(self, server: RedisServer, *, source: Callable[[str], str] = lua.source) -> None:
        super().__init__(server, source=source)
        self.kills = self.losses = 0

    @rule(consumer=st.sampled_from(["a", "b", "c", "released"]), priority=PRIORITIES)
    def delete_consumer(self, consumer: str, priority: Priority) -> None:
        if self._has_group(priority):
            self._is_whole &= not self._sync.xgroup_delconsumer(keys.queue(priority), keys.GROUP, consumer)

    @rule(priority=PRIORITIES)
    def destroy_group(self, priority: Priority) -> None:
        if self._has_group(priority):
            self._sync.xgroup_destroy(keys.queue(priority), keys.GROUP)

    @rule(priority=PRIORITIES, length=st.integers(0, 2))
    def trim(self, priority: Priority, length: int) -> None:
        self._is_whole &= not self._sync.xtrim(keys.queue(priority), maxlen=length, approximate=False)

    @precondition(lambda self: not self.kills)  # starting again costs more than all other steps together
    @rule()
    def redis_is_killed_and_starts_again(self) -> None:
        self.kills += 1
        self._server.kill()
        self._server.start()
        self._sync.connection_pool.disconnect()

    @precondition(lambda self: self.losses < 2)
    @rule()
    def redis_loses_everything(self) -> None:
        self.losses += 1
        self._sync.flushall()
        self._await(self._outbox.announce([TARGET]))  # as the delivery process does again and again
        self._model.lose_everything()
        self._is_whole = True
        for job in self._model.accepted.values():
            assert self._await(self._queue.resubmit(job)).is_new
