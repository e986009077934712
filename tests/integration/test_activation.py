"""Which bundle is active survives lost replies, two operators, a full Redis and one that lost its memory."""

from __future__ import annotations

import asyncio
import time

import pytest
from redis.asyncio import Redis
from redis.exceptions import RedisError

from services.jobs import keys
from services.jobs.activation import Activation, BundleActivation
from services.jobs.connection import connect_gateway
from services.jobs.errors import ActivationConflict, QueueUnavailable, RecordCorrupt
from tests.support.redis_server import EVERY_REDIS, RedisServer

pytestmark = pytest.mark.parametrize("redis_binary", EVERY_REDIS, indirect=True)

A, B, C = ("a" * 64, "b" * 64, "c" * 64)


@pytest.fixture
def activation(redis_client: Redis) -> BundleActivation:
    return BundleActivation(redis_client)


async def propose(activation: BundleActivation, digest: str, attempt: str, *, seconds: float = 60.0) -> None:
    await activation.propose(digest, attempt=attempt, by="alice@ward", seconds=seconds, seen=await activation.read())


async def make_active(activation: BundleActivation, digest: str, attempt: str, *, served: str | None = None) -> None:
    await propose(activation, digest, attempt)
    await activation.activate(attempt, served=served)


async def test_nothing_is_active_until_somebody_activates(activation: BundleActivation) -> None:
    assert await activation.read() == Activation()


async def test_a_candidate_becomes_active_and_the_way_back_is_known(activation: BundleActivation) -> None:
    await propose(activation, B, "one")
    state = await activation.read()
    assert state.active is None
    assert state.candidate is not None
    assert (state.candidate.digest, state.candidate.attempt, state.candidate.by) == (B, "one", "alice@ward")
    assert 0 < state.candidate.until_ms - state.candidate.since_ms <= 60_000
    await activation.activate("one", served=A)
    state = await activation.read()
    assert (state.active, state.previous, state.active_by, state.candidate) == (B, A, "alice@ward", None)
    await make_active(activation, C, "two", served=A)
    state = await activation.read()
    assert (state.active, state.previous) == (C, B)


async def test_each_step_may_be_repeated(activation: BundleActivation) -> None:
    seen = await activation.read()
    for _ in range(2):
        await activation.propose(B, attempt="one", by="alice", seconds=60, seen=seen)
    for _ in range(2):
        await activation.activate("one", served=A)
    assert (await activation.read()).previous == A
    await propose(activation, C, "two")
    assert await activation.withdraw("two", code="bundle_corrupt")
    once = await activation.read()
    assert await activation.withdraw("two", code="bundle_corrupt")
    assert await activation.read() == once


async def test_a_withdrawn_candidate_leaves_the_active_bundle_and_says_why(activation: BundleActivation) -> None:
    await make_active(activation, A, "one")
    await propose(activation, B, "two")
    await activation.withdraw("two", code="bundle_corrupt")
    state = await activation.read()
    assert (state.active, state.candidate) == (A, None)
    assert state.refusal is not None
    assert (state.refusal.digest, state.refusal.code, state.refusal.by) == (B, "bundle_corrupt", "alice@ward")
    with pytest.raises(ActivationConflict):
        await activation.activate("two")
    assert (await activation.read()).active == A


async def test_what_became_active_is_not_withdrawn_any_more(activation: BundleActivation) -> None:
    await make_active(activation, B, "one")
    assert not await activation.withdraw("one", code="timeout")
    assert (await activation.read()).active == B


async def test_a_second_operator_waits_for_the_first(activation: BundleActivation) -> None:
    await propose(activation, B, "alice's")
    with pytest.raises(ActivationConflict, match="another bundle is being activated"):
        await propose(activation, C, "bob's")
    state = await activation.read()
    assert state.candidate is not None
    assert state.candidate.digest == B


async def test_an_operator_who_has_seen_an_older_state_changes_nothing(activation: BundleActivation) -> None:
    seen = await activation.read()
    await make_active(activation, B, "alice's")
    with pytest.raises(ActivationConflict, match="look again"):
        await activation.propose(C, attempt="bob's", by="bob", seconds=60, seen=seen)
    assert (await activation.read()).candidate is None


async def test_of_many_operators_at_once_one_is_first(activation: BundleActivation) -> None:
    seen = await activation.read()
    attempts = [
        activation.propose(digit * 64, attempt=digit, by=digit, seconds=60, seen=seen) for digit in "0123456789"
    ]
    outcomes = await asyncio.gather(*attempts, return_exceptions=True)
    assert sum(outcome is None for outcome in outcomes) == 1
    assert sum(isinstance(outcome, ActivationConflict) for outcome in outcomes) == 9


async def test_a_candidate_whose_operator_is_gone_makes_room_for_the_next(activation: BundleActivation) -> None:
    await propose(activation, B, "gone", seconds=0.01)
    deadline = time.monotonic() + 10
    while (await activation.read()).candidate is not None:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)
    await make_active(activation, C, "next")
    state = await activation.read()
    assert state.active == C
    assert state.refusal is not None
    assert (state.refusal.digest, state.refusal.code) == (B, "timeout")
    with pytest.raises(ActivationConflict, match="the attempt is over"):
        await activation.activate("gone")


async def test_a_candidate_from_before_the_clock_went_back_makes_room(
    activation: BundleActivation, redis_client: Redis
) -> None:
    await propose(activation, B, "one")
    state = await activation.read()
    assert state.candidate is not None
    ahead = {name: value + 7_200_000 for name, value in vars(state.candidate).items() if name.endswith("_ms")}
    await redis_client.hset(keys.BUNDLE, mapping={"candidate_ms": ahead["since_ms"], "until_ms": ahead["until_ms"]})
    assert (await activation.read()).candidate is None
    await make_active(activation, C, "two")
    assert (await activation.read()).active == C


async def test_the_active_bundle_again_keeps_the_way_back(activation: BundleActivation) -> None:
    await make_active(activation, B, "one", served=A)
    await make_active(activation, B, "two")
    assert (await activation.read()).previous == A


async def test_what_redis_lost_is_given_back_and_newer_things_stay(
    activation: BundleActivation, redis_client: Redis
) -> None:
    await make_active(activation, A, "one")
    await make_active(activation, B, "two")
    remembered = await activation.read()
    await redis_client.flushall()
    await activation.restore(remembered)
    state = await activation.read()
    assert (state.active, state.previous, state.revision) == (B, A, remembered.revision)
    await make_active(activation, C, "three")
    await activation.restore(remembered)
    assert (await activation.read()).active == C


async def test_an_activation_after_a_loss_wins_over_what_workers_remember(
    activation: BundleActivation, redis_client: Redis
) -> None:
    await make_active(activation, A, "one")
    remembered = await activation.read()
    await redis_client.flushall()
    await make_active(activation, C, "after the loss")
    await activation.restore(remembered)
    assert (await activation.read()).active == C


async def test_a_candidate_of_an_earlier_time_goes_when_the_commit_is_given_back(
    activation: BundleActivation, redis_client: Redis
) -> None:
    await propose(activation, B, "one")
    earlier = await redis_client.hgetall(keys.BUNDLE)
    await activation.activate("one")
    remembered = await activation.read()
    await redis_client.flushall()
    await redis_client.hset(keys.BUNDLE, mapping=earlier)  # as after the loss of the last writes
    await activation.restore(remembered)
    state = await activation.read()
    assert (state.active, state.candidate) == (B, None)


async def test_a_full_redis_still_lets_operators_go_back(mortal_redis_server: RedisServer) -> None:
    async with connect_gateway(mortal_redis_server.settings) as client:
        activation = BundleActivation(client)
        await make_active(activation, A, "one")
        await make_active(activation, B, "two")
        await client.config_set("maxmemory", "1kb")
        with pytest.raises(RedisError):
            await client.set("something", "more")
        await make_active(activation, A, "back")
        assert (await activation.read()).active == A


async def test_the_state_survives_a_crash_of_redis(mortal_redis_server: RedisServer) -> None:
    async with connect_gateway(mortal_redis_server.settings) as client:
        activation = BundleActivation(client)
        await propose(activation, B, "one")
        mortal_redis_server.kill()
        with pytest.raises(QueueUnavailable):
            await activation.activate("one")
        mortal_redis_server.start()
        await activation.activate("one")
        assert (await activation.read()).active == B


async def test_what_is_no_state_is_never_taken_for_one(activation: BundleActivation, redis_client: Redis) -> None:
    await redis_client.hset(keys.BUNDLE, mapping={"candidate": B, "candidate_ms": 0, "until_ms": "9" * 15})
    with pytest.raises(RecordCorrupt):
        await activation.read()
