"""O1: a delivery and its targets die again and again; in the end each target has each object, and nothing else."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Final

import pytest
from redis.asyncio import Redis

from services.jobs.connection import connect_gateway
from services.jobs.queue import JobQueue
from services.jobs.spool import Spool
from tests.bar.conftest import MeasureRow
from tests.support.delivery import DeliveryProcess, cstore, decide, owed, stow
from tests.support.gateway import wait_until
from tests.support.receivers import DIE, Receiver
from tests.support.redis_server import RedisServer

pytest.importorskip("highdicom", reason="the extra [dicom] is not installed")

KILLS: Final = 6
FILMS_A_KILL: Final = 30
SECONDS: Final = 600.0  # what a killed delivery had in its hands comes again when its lease is over, after a minute


async def decide_some(redis: Redis, spool: Spool, *numbers: int) -> None:
    for number in numbers:
        await decide(JobQueue(redis), spool, number)


@pytest.mark.row
async def test_delivery_and_targets_that_are_killed_leave_each_object_once(
    mortal_redis_server: RedisServer, tmp_path: Path, spool: Spool, measure_row: MeasureRow
) -> None:
    with measure_row("O1", "delivery and targets are killed") as row, ExitStack() as stack:
        web, node = (stack.enter_context(Receiver(tmp_path / kind, kind)) for kind in ("http", "dicom"))
        targets = (stow(web.port), cstore(node.port))
        for kill in range(KILLS):
            for receiver in (web, node):
                receiver.start()
            delivery = stack.enter_context(
                DeliveryProcess(tmp_path, mortal_redis_server, *targets, delivery_send_seconds=5)
            )
            delivery.wait_started()
            first, last = kill * FILMS_A_KILL, (kill + 1) * FILMS_A_KILL
            middle = (first + last) // 2
            async with connect_gateway(mortal_redis_server.settings) as redis:
                await decide_some(redis, spool, *range(first, middle))
                for receiver in (web, node):
                    receiver.order(DIE)
                await decide_some(redis, spool, *range(middle, last))
            for receiver in (web, node):
                receiver.wait_until_dead()
            delivery.kill()
        for receiver in (web, node):
            receiver.start()
        stack.enter_context(DeliveryProcess(tmp_path, mortal_redis_server, *targets)).wait_started()
        wait_until(lambda: _due(mortal_redis_server) == 0, seconds=SECONDS, what="delivery")
        for name, receiver in (("web", web), ("node", node)):
            came = receiver.instances()
            row.mark(f"objects_at_{name}", len(set(came)), exactly=KILLS * FILMS_A_KILL)
            row.mark(f"dead_letters_of_{name}", owed(mortal_redis_server, name)[1], exactly=0)
            row.note(f"repeats_at_{name}", len(came) - len(set(came)))


def _due(server: RedisServer) -> int:
    return sum(owed(server, name)[0] for name in ("web", "node"))
