"""Whatever happens in whatever order: no film is lost, and no film gets two results (RELIABILITY.md §2 R5).

A compact form for every run; ``make bar`` has the long one (``tests/bar/test_r5_state_machine.py``).
"""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.support.queue_machine import QueueMachine
from tests.support.redis_server import EVERY_REDIS, RedisServer

EXAMPLES, STEPS = 20, 40


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
