"""R5: whatever happens in whatever order, on a real Redis of either version."""

from __future__ import annotations

import time

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test

from tests.bar.conftest import MeasureRow
from tests.support.invariant import mark_safe
from tests.support.queue_machine import QueueMachine
from tests.support.redis_server import EVERY_REDIS, RedisServer

EXAMPLES, STEPS = 150, 40


@pytest.mark.row
@pytest.mark.alone
@pytest.mark.parametrize("redis_binary", EVERY_REDIS, indirect=True)
def test_no_order_of_events_loses_a_film_or_gives_it_two_results(
    shared_redis_server: RedisServer, measure_row: MeasureRow, request: pytest.FixtureRequest
) -> None:
    machines: list[QueueMachine] = []

    def machine() -> RuleBasedStateMachine:
        machines.append(QueueMachine(shared_redis_server))
        return machines[-1]

    with measure_row("R5", "Model of the queue, any order of events") as row:
        row.redis = request.node.callspec.params["redis_binary"]
        started = time.monotonic()
        run_state_machine_as_test(
            machine,  # type: ignore[arg-type]  # it may be a factory, says its documentation
            settings=settings(
                max_examples=EXAMPLES,
                stateful_step_count=STEPS,
                deadline=None,
                suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
            ),
        )
        row.mark("examples", len(machines), at_least=EXAMPLES)
        row.mark("seconds", round(time.monotonic() - started, 1), at_most=90)
        row.note("steps_at_most", STEPS)
        row.note("redis_kills", sum(machine.kills for machine in machines))
        row.note("submits_refused", sum(machine.refusals for machine in machines))
        row.mark("scored_again", sum(machine.rescores for machine in machines), at_least=10)
        row.mark("leased_by_a_target", sum(machine.leases for machine in machines), at_least=10)
        row.mark("withdrawn", sum(machine.withdrawals for machine in machines), at_least=10)
        row.note("films", sum(len(machine.film_ids) for machine in machines))
        with shared_redis_server.client() as client:
            mark_safe(row, client, machines[-1].film_ids)
