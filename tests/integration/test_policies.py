"""A site's policies survive two admins, lost replies, a full Redis and one that lost its memory."""

from __future__ import annotations

import asyncio

import pytest
from redis.asyncio import Redis
from redis.exceptions import RedisError

from model.manifest import OperatingPoint
from services.jobs import keys
from services.jobs.activation import BundleActivation
from services.jobs.connection import connect_gateway
from services.jobs.errors import (
    BelowSensitivityFloor,
    ModelNotKnown,
    PoliciesMissing,
    PolicyChanged,
    QueueUnavailable,
)
from services.jobs.operating_tables import OperatingTable, OperatingTables, TableRow
from services.jobs.policies import Policies, PolicyDraft, SitePolicy, draft_of
from services.jobs.records import ModelReference
from tests.support.redis_server import EVERY_REDIS, RedisServer

pytestmark = pytest.mark.parametrize("redis_binary", EVERY_REDIS, indirect=True)

A, B = "a" * 64, "b" * 64


def table(digest: str = A) -> OperatingTable:
    rows = ((0.0, 100, 100), (0.2, 98, 60), (0.4, 90, 20), (1.0, 0, 0))
    return OperatingTable(
        model=ModelReference(name="tiny", version="0.0.1", digest=digest),
        operating_points=(OperatingPoint(name="f3", threshold=0.2, evidence="drawn", positives=100, negatives=100),),
        default_point="f3",
        positives=100,
        negatives=100,
        evidence="drawn",
        rows=tuple(TableRow(threshold=at, true_positives=tp, false_positives=fp) for at, tp, fp in rows),
    )


def draft(threshold: float = 0.15, *, site: str = "north", digest: str = A, **facts: object) -> PolicyDraft:
    return draft_of(table(digest), site=site, threshold=threshold, name="custom", by="key", floor=0.95, **facts)  # type: ignore[arg-type]


@pytest.fixture
async def policies(redis_client: Redis) -> Policies:
    for digest in (A, B):
        await OperatingTables(redis_client).keep(table(digest))
    return Policies(redis_client)


async def test_versions_count_from_one_and_the_history_has_all_of_them(policies: Policies) -> None:
    first = await policies.put(draft(0.15), seen=0)
    second = await policies.put(draft(0.1), seen=1)
    other = await policies.put(draft(0.2, digest=B), seen=2)
    assert [policy.version for policy in (first, second, other)] == [1, 2, 3]
    assert first.at_ms <= second.at_ms <= other.at_ms
    assert await policies.history("north") == (other, second, first)
    state = await policies.read()
    assert state.of_site("north") == (other, second)
    assert state.missing(B) == ()
    assert await policies.latest("north") == 3
    assert await policies.latest("south") == 0


async def test_a_threshold_is_kept_to_its_last_digit(policies: Policies) -> None:
    threshold = 0.1234567890123456789
    await policies.put(draft(threshold), seen=0)
    assert (await policies.read()).policies["north", A].threshold == threshold


async def test_of_two_who_choose_at_once_one_is_told(policies: Policies) -> None:
    outcomes = await asyncio.gather(
        *(policies.put(draft(step / 100), seen=0) for step in range(10)), return_exceptions=True
    )
    (kept,) = (outcome for outcome in outcomes if isinstance(outcome, SitePolicy))
    assert sum(isinstance(outcome, PolicyChanged) for outcome in outcomes) == 9
    assert await policies.history("north") == (kept,)
    with pytest.raises(PolicyChanged, match="version 1 now"):
        await policies.put(draft(0.05), seen=0)


async def test_a_choice_whose_reply_was_lost_is_one_version(policies: Policies) -> None:
    await policies.put(draft(0.1), seen=0)
    once = await policies.put(draft(0.15), seen=1)
    assert await policies.put(draft(0.15), seen=1) == once
    assert len(await policies.history("north")) == 2
    await policies.put(draft(0.1), seen=2)
    with pytest.raises(PolicyChanged):
        await policies.put(draft(0.15), seen=1)


async def test_a_choice_that_is_made_once_more_on_purpose_is_another_version(policies: Policies) -> None:
    await policies.put(draft(0.1), seen=0)
    assert (await policies.put(draft(0.1), seen=1)).version == 2


async def test_nobody_chooses_for_a_model_without_a_table(policies: Policies) -> None:
    with pytest.raises(ModelNotKnown):
        await policies.put(draft(digest="c" * 64), seen=0)
    assert await policies.history("north") == ()


async def test_a_threshold_below_the_floor_needs_a_reason(policies: Policies) -> None:
    with pytest.raises(BelowSensitivityFloor, match=r"0\.9000, below this service's floor of 0\.95"):
        draft(0.3)
    policy = await policies.put(draft(0.3, override_reason="a study of the ward"), seen=0)
    assert policy.override_reason == "a study of the ward"
    assert policy.sensitivity is not None
    assert policy.sensitivity.value == 0.9
    assert policy.sensitivity.low < 0.9 < policy.sensitivity.high


async def test_the_history_keeps_a_thousand_and_versions_count_on(policies: Policies, redis_client: Redis) -> None:
    for version in range(1003):
        await policies.put(draft(0.1), seen=version)
    assert await redis_client.llen(keys.policy_history("north")) == 1000
    assert await policies.latest("north") == 1003
    assert len(await policies.history("north")) == 100


async def test_what_redis_lost_is_given_back_and_what_it_knows_better_stays(
    policies: Policies, redis_client: Redis
) -> None:
    first = await policies.put(draft(0.1), seen=0)
    second = await policies.put(draft(0.2), seen=1)
    await redis_client.flushall()
    before = await policies.revision()
    assert before is None
    assert await policies.restore([second, first])
    assert not await policies.restore([second, first])
    assert await policies.history("north") == (second, first)
    assert (await policies.read()).policies["north", A] == second
    await OperatingTables(redis_client).keep(table())
    third = await policies.put(draft(0.05), seen=2)
    assert not await policies.restore([second])
    assert (await policies.read()).policies["north", A] == third


async def test_the_trail_fills_the_history_that_workers_gave_back_the_end_of(
    policies: Policies, redis_client: Redis
) -> None:
    put = [await policies.put(draft(0.1, digest=digest), seen=seen) for seen, digest in enumerate((A, A, B, A, A))]
    await redis_client.flushall()
    assert await policies.restore([put[2], put[4]]), "what decides, from a worker"
    revision = await policies.revision()
    assert not await policies.restore(put), "all of it, from the trail, decides nothing otherwise"
    assert await policies.history("north") == tuple(reversed(put))
    assert (await policies.read()).of_site("north") == (put[4], put[2])
    assert await policies.revision() == revision


async def test_of_two_of_one_version_the_later_one_comes_back(policies: Policies, redis_client: Redis) -> None:
    lost = await policies.put(draft(0.1), seen=0)
    await redis_client.delete(keys.POLICIES, keys.policy_history("north"))
    again = await policies.put(draft(0.2), seen=0)
    later = again.model_copy(update={"at_ms": lost.at_ms + 1})
    for trail in ([lost, later], [later, lost]):
        await redis_client.delete(keys.POLICIES, keys.policy_history("north"))
        assert await policies.restore(trail)
        assert (await policies.read()).of_site("north") == (later,)
        assert await policies.history("north") == (later,)


async def test_a_damaged_version_in_the_history_keeps_nobody_from_choosing(
    policies: Policies, redis_client: Redis
) -> None:
    first = await policies.put(draft(0.1), seen=0)
    await policies.put(draft(0.2), seen=1)
    await redis_client.lset(keys.policy_history("north"), -1, "{")
    assert await policies.history("north") == (first,)
    assert await policies.latest("north") == 2
    third = await policies.put(draft(0.3, override_reason="chosen for the test"), seen=2)
    assert await policies.history("north") == (third, first)
    assert third.version == 3


async def test_the_revision_changes_with_every_change_and_after_a_loss(policies: Policies, redis_client: Redis) -> None:
    seen = {await policies.revision()}
    policy = await policies.put(draft(0.1), seen=0)
    seen.add(await policies.revision())
    await policies.put(draft(0.1), seen=1)
    seen.add(await policies.revision())
    await redis_client.flushall()
    await policies.restore([policy])
    seen.add(await policies.revision())
    assert len(seen) == 4


async def test_one_policy_that_cannot_be_read_hides_no_other(policies: Policies, redis_client: Redis) -> None:
    await policies.put(draft(0.1), seen=0)
    await redis_client.hset(keys.POLICIES, f"south|{A}", "{")
    moved = await redis_client.hget(keys.POLICIES, f"north|{A}")
    await redis_client.hset(keys.POLICIES, f"west|{A}", str(moved))
    assert set((await policies.read()).policies) == {("north", A)}, "nor does a site decide by another one's"


async def test_policy_that_cannot_be_read_is_the_last_one_for_its_model_in_the_history(
    policies: Policies, redis_client: Redis
) -> None:
    await policies.put(draft(0.1), seen=0)
    last = await policies.put(draft(0.2), seen=1)
    await policies.put(draft(0.3, digest=B, override_reason="chosen for the test"), seen=2)
    await redis_client.hset(keys.POLICIES, f"north|{A}", '{"version":2,"threshold":1.0}')
    assert (await policies.read()).policies["north", A] == last


async def test_a_full_redis_takes_a_policy_all_the_same(mortal_redis_server: RedisServer) -> None:
    async with connect_gateway(mortal_redis_server.settings) as client:
        await OperatingTables(client).keep(table())
        await client.config_set("maxmemory", "1kb")
        with pytest.raises(RedisError):
            await client.set("something", "more")
        assert (await Policies(client).put(draft(0.1), seen=0)).version == 1


async def test_a_policy_survives_a_crash_of_redis(mortal_redis_server: RedisServer) -> None:
    async with connect_gateway(mortal_redis_server.settings) as client:
        policies = Policies(client)
        await OperatingTables(client).keep(table())
        policy = await policies.put(draft(0.1), seen=0)
        mortal_redis_server.kill()
        with pytest.raises(QueueUnavailable):
            await policies.put(draft(0.2), seen=1)
        mortal_redis_server.start()
        assert (await policies.read()).of_site("north") == (policy,)


# -- activation ---------------------------------------------------------------------------------------------------


async def propose(activation: BundleActivation, digest: str, attempt: str) -> None:
    await activation.propose(digest, attempt=attempt, by="alice", seconds=60, seen=await activation.read())


async def test_no_bundle_is_proposed_while_a_site_with_policies_has_none_for_it(
    policies: Policies, redis_client: Redis
) -> None:
    activation = BundleActivation(redis_client)
    await policies.put(draft(), seen=0)
    await policies.put(draft(site="south"), seen=0)
    with pytest.raises(PoliciesMissing, match="north, south"):
        await propose(activation, B, "one")
    assert (await activation.read()).candidate is None
    await policies.put(draft(digest=B), seen=1)
    with pytest.raises(PoliciesMissing, match=": south;"):
        await propose(activation, B, "two")
    await policies.put(draft(digest=B, site="south"), seen=1)
    await propose(activation, B, "three")
    await activation.activate("three")
    assert (await activation.read()).active == B


async def test_a_site_that_chooses_its_first_policy_meanwhile_stops_the_activation(
    policies: Policies, redis_client: Redis
) -> None:
    activation = BundleActivation(redis_client)
    await propose(activation, B, "one")
    await policies.put(draft(), seen=0)
    with pytest.raises(PoliciesMissing, match="north"):
        await activation.activate("one")
    state = await activation.read()
    assert state.active is None
    assert state.candidate is not None, "whoever proposed it takes it back, or repeats when the site has chosen"
    await policies.put(draft(digest=B), seen=1)
    await activation.activate("one")
    assert (await activation.read()).active == B


async def test_a_table_that_somebody_needs_is_not_forgotten(policies: Policies, redis_client: Redis) -> None:
    tables, activation = OperatingTables(redis_client), BundleActivation(redis_client)
    await policies.put(draft(digest=A), seen=0)
    assert not await tables.forget(A)
    assert await tables.forget(B)
    assert await tables.get(B) is None
    await tables.keep(table(B))
    await policies.put(draft(digest=B), seen=1)
    await redis_client.hdel(keys.POLICIES, f"north|{B}")
    assert await tables.forget(B)
    await tables.keep(table(B))
    await redis_client.delete(keys.POLICIES)
    await propose(activation, B, "one")
    assert not await tables.forget(B)
    assert await tables.get(B) == table(B)
