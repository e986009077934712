"""R5, the other half: what state machine and directed checks are worth. Every wrong script has to be noticed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.errors import FlakyFailure, FlakyStrategyDefinition
from hypothesis.stateful import run_state_machine_as_test

from services.jobs import lua
from services.jobs.connection import connect_gateway
from services.jobs.delivery_outbox import DeliveryOutbox
from services.jobs.errors import JobsError, QueueUnavailable
from services.jobs.queue import JobQueue
from tests.bar.conftest import MeasureRow
from tests.support.invariant import mark_safe
from tests.support.queue_checks import CHECKS, DELIVERY_CHECKS
from tests.support.queue_machine import QueueMachine
from tests.support.queue_mutants import MUTANTS, Mutant
from tests.support.redis_server import RedisServer

EXAMPLES, STEPS = 150, 40


def is_noticed(mutant: Mutant, server: RedisServer, *, tries: int = 3) -> bool:
    """Return whether the mutant's check, or a run of the state machine, fails with it.

    A run that differs from itself, because the machine stood still for seconds, says nothing and is made again.
    """
    try:
        if mutant.directed is not None:
            asyncio.run(check(mutant.directed, server, mutant.source))
        else:
            run_machine(server, mutant.source)
    except QueueUnavailable:
        raise  # of Redis, not of a script: it says nothing of the mutant
    except FlakyStrategyDefinition:
        if tries == 1:
            raise
        return is_noticed(mutant, server, tries=tries - 1)
    except (AssertionError, JobsError, pytest.fail.Exception, FlakyFailure):
        return True  # JobsError: another refusal than the model's, as where bytes are not looked at but shares are
    return False


async def check(name: str, server: RedisServer, source: Callable[[str], str]) -> None:
    async with connect_gateway(server.settings) as client:
        await client.flushall()
        queue = JobQueue(client, source=source)
        if name in DELIVERY_CHECKS:
            await DELIVERY_CHECKS[name](queue, DeliveryOutbox(client, source=source))
        else:
            await CHECKS[name](queue, client)


def run_machine(server: RedisServer, source: Callable[[str], str]) -> None:
    """Stop at the first example that fails; which of them is the simplest is of no interest here."""
    run_state_machine_as_test(
        lambda: QueueMachine(server, source=source),
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            deadline=None,
            database=None,
            derandomize=True,
            phases=[Phase.generate],
            report_multiple_bugs=False,
            suppress_health_check=list(HealthCheck),
        ),
    )


@pytest.mark.row
def test_every_wrong_script_is_noticed(shared_redis_server: RedisServer, measure_row: MeasureRow) -> None:
    with measure_row("R5", "Mutants of the scripts") as row:
        survivors = [mutant.name for mutant in MUTANTS if not is_noticed(mutant, shared_redis_server)]
        row.note("survivors", "; ".join(survivors))
        row.mark("mutants", len(MUTANTS), at_least=8)
        row.mark("mutants_killed", len(MUTANTS) - len(survivors), exactly=len(MUTANTS))
        # Also the end of the row: the right scripts pass what the wrong ones failed.
        for name in (*CHECKS, *DELIVERY_CHECKS):
            asyncio.run(check(name, shared_redis_server, lua.source))
        with shared_redis_server.client() as client:
            mark_safe(row, client, [], is_all_done=False)
