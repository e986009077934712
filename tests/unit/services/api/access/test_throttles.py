"""How often is too often, by a clock that the test moves."""

from __future__ import annotations

import asyncio

import pytest

from services.api.access.throttles import FailureThrottle, KeyQuotas, TokenBuckets
from services.api.refusals import RateLimited, TooManyFailures, TooManyUploads
from services.api.scopes import ANYBODY, Caller, Role


class HandClock:
    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


def caller(key_id: str = "a") -> Caller:
    return Caller(key_id=key_id, roles=frozenset({Role.SUBMIT}))


def quotas(clock: HandClock, *, in_flight: int = 4, per_second: float = 2.0, burst: int = 5) -> KeyQuotas:
    return KeyQuotas(uploads_in_flight=in_flight, uploads_per_second=per_second, burst=burst, clock=clock)


def test_wrong_keys_of_an_address_are_counted_until_there_are_too_many(clock: HandClock) -> None:
    throttle = FailureThrottle(per_minute=10, clock=clock)
    for _ in range(10):
        throttle.count("10.0.0.1")
    with pytest.raises(TooManyFailures) as refused:
        throttle.count("10.0.0.1")
    assert refused.value.seconds == pytest.approx(6.0)
    throttle.count("10.0.0.2")
    clock.seconds += 6.0
    throttle.count("10.0.0.1")


def test_many_addresses_of_one_ipv6_network_are_one_caller(clock: HandClock) -> None:
    throttle = FailureThrottle(per_minute=2, clock=clock)
    throttle.count("2001:db8::1")
    throttle.count("2001:db8::2")
    with pytest.raises(TooManyFailures):
        throttle.count("2001:db8::3")
    throttle.count("2001:db8:0:1::1")


def test_mapped_address_is_the_ipv4_address_that_it_maps(clock: HandClock) -> None:
    throttle = FailureThrottle(per_minute=1, clock=clock)
    throttle.count("::ffff:10.0.0.1")
    throttle.count("::ffff:10.0.0.2")
    with pytest.raises(TooManyFailures):
        throttle.count("10.0.0.1")


def test_memory_of_names_is_bounded_and_forgets_who_was_seen_longest_ago(clock: HandClock) -> None:
    buckets = TokenBuckets(per_second=0.01, burst=1, most_names=100, clock=clock)
    assert buckets.take("first") == 0.0
    for name in range(1000):
        assert buckets.take(str(name)) == 0.0
    assert len(buckets) == 100
    assert buckets.take("999") > 0.0
    assert buckets.take("first") == 0.0


def test_key_may_send_a_burst_and_then_its_rate(clock: HandClock) -> None:
    limits = quotas(clock, per_second=2.0, burst=5)
    for _ in range(5):
        with limits.upload(caller()):
            pass
    with pytest.raises(RateLimited) as refused, limits.upload(caller()):
        pass
    assert refused.value.seconds == pytest.approx(0.5)
    with limits.upload(caller("another")):
        pass
    clock.seconds += 0.5
    with limits.upload(caller()):
        pass


def test_uploads_in_flight_of_a_key_are_bounded_and_a_refused_one_costs_no_token(clock: HandClock) -> None:
    limits = quotas(clock, in_flight=1, burst=2)
    with limits.upload(caller()):
        for _ in range(10):
            with pytest.raises(TooManyUploads), limits.upload(caller()):
                pass
    with limits.upload(caller()):
        pass


def test_upload_that_fails_is_in_flight_no_more(clock: HandClock) -> None:
    limits = quotas(clock, in_flight=1)
    with pytest.raises(RuntimeError), limits.upload(caller()):
        raise RuntimeError
    with limits.upload(caller()):
        pass


def test_open_gateway_has_no_quotas(clock: HandClock) -> None:
    limits = quotas(clock, in_flight=1, burst=1)
    with limits.upload(ANYBODY), limits.upload(ANYBODY), limits.upload(ANYBODY):
        pass


def test_sign_ins_of_a_key_are_bounded(clock: HandClock) -> None:
    limits = quotas(clock)
    for _ in range(30):
        limits.sign_in("a")
    with pytest.raises(RateLimited):
        limits.sign_in("a")
    limits.sign_in("b")


async def test_sender_of_many_films_waits_where_others_are_refused(clock: HandClock) -> None:
    limits = quotas(clock, per_second=100.0, burst=1)
    with limits.upload(caller()):
        waiting = asyncio.ensure_future(limits.next_film(caller()))
        await asyncio.sleep(0)
        assert not waiting.done()
        clock.seconds += 1.0
        await waiting
    with pytest.raises(RateLimited), limits.upload(caller()):
        pass


async def test_open_gateway_lets_a_sender_go_on_at_once(clock: HandClock) -> None:
    limits = quotas(clock, burst=1)
    for _ in range(3):
        await limits.next_film(ANYBODY)
