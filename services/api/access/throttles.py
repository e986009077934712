"""How often is too often: wrong keys of one address, uploads and sign-ins of one key. Per gateway process, in memory.

A valid key is never turned away for the wrong ones that came from its address: a hospital's proxy is one address, and a
secret of 256 bits is not found by trying. So the first throttle protects the audit trail and tells a misconfigured
sender to slow down; it is not what keeps guessers out.
"""

from __future__ import annotations

import asyncio
import ipaddress
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from services.api.refusals import RateLimited, TooManyFailures, TooManyUploads
from services.api.scopes import Caller

Clock = Callable[[], float]

_MOST_NAMES: Final = 10_000
# Of one key, at each gateway: enough for a ward in the morning, and a bound for what sign-ins may store.
_SIGN_INS_PER_SECOND: Final = 1.0
_SIGN_INS_AT_ONCE: Final = 30
_TOO_MANY_UPLOADS_SECONDS: Final = 1.0
_IPV6_NETWORK_BITS: Final = 64


@dataclass
class _Bucket:
    tokens: float
    at: float


class TokenBuckets:
    """One bucket of tokens a name: ``burst`` at once, ``per_second`` on average.

    Remembers so many names; the ones that were seen longest ago are forgotten, which fills their buckets.
    """

    def __init__(
        self, *, per_second: float, burst: float, most_names: int = _MOST_NAMES, clock: Clock = time.monotonic
    ) -> None:
        self._per_second = per_second
        self._burst = burst
        self._most_names = most_names
        self._clock = clock
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    def __len__(self) -> int:
        return len(self._buckets)

    def take(self, name: str) -> float:
        """Take a token; return 0.0, or the seconds until there is one where there is none."""
        now = self._clock()
        bucket = self._buckets.setdefault(name, _Bucket(tokens=self._burst, at=now))
        self._buckets.move_to_end(name)
        if len(self._buckets) > self._most_names:
            self._buckets.popitem(last=False)
        bucket.tokens = min(self._burst, bucket.tokens + (now - bucket.at) * self._per_second)
        bucket.at = now
        if bucket.tokens < 1.0:
            return (1.0 - bucket.tokens) / self._per_second
        bucket.tokens -= 1.0
        return 0.0


class FailureThrottle:
    """Counts wrong keys by address, and what valid ones are refused by their ids, so that nobody fills the trail."""

    def __init__(self, *, per_minute: int, clock: Clock = time.monotonic) -> None:
        self._buckets = TokenBuckets(per_second=per_minute / 60, burst=per_minute, clock=clock)

    def count(self, name: str) -> None:
        """Count one failure of an address, or of a key's id.

        Raises
        ------
        TooManyFailures
            If there were too many of this name in the last minute.
        """
        seconds = self._buckets.take(_network(name))
        if seconds:
            raise TooManyFailures(
                "Too many wrong keys came from this address. Correct the key; come again after Retry-After seconds.",
                seconds=seconds,
            )


class KeyQuotas:
    """What one key may do at once and a second; an open gateway has no quotas."""

    def __init__(
        self, *, uploads_in_flight: int, uploads_per_second: float, burst: int, clock: Clock = time.monotonic
    ) -> None:
        self._most_in_flight = uploads_in_flight
        self._uploads = TokenBuckets(per_second=uploads_per_second, burst=burst, clock=clock)
        self._sign_ins = TokenBuckets(per_second=_SIGN_INS_PER_SECOND, burst=_SIGN_INS_AT_ONCE, clock=clock)
        self._in_flight: dict[str, int] = {}

    @contextmanager
    def upload(self, caller: Caller) -> Iterator[None]:
        """Count an upload while it is received.

        Raises
        ------
        TooManyUploads
            If as many of this key are in flight as may be.
        RateLimited
            If it sent more in the last seconds than it may.
        """
        if caller.key_id is None:
            yield
            return
        key_id, flying = caller.key_id, self._in_flight.get(caller.key_id, 0)
        if flying >= self._most_in_flight:
            raise TooManyUploads(
                f"{flying} uploads of this key are in flight. Send this film after Retry-After seconds.",
                seconds=_TOO_MANY_UPLOADS_SECONDS,
            )
        self._limit(self._uploads, key_id, "uploads")
        self._in_flight[key_id] = flying + 1
        try:
            yield
        finally:
            self._in_flight[key_id] -= 1
            if not self._in_flight[key_id]:
                del self._in_flight[key_id]

    async def next_film(self, caller: Caller) -> None:
        """Return when an upload that holds more than one film may begin with its next one.

        Its sender waits instead of being refused: what it has sent is not lost, and it notices by TCP alone.
        """
        if caller.key_id is None:
            return
        seconds = self._uploads.take(caller.key_id)
        while seconds:
            await asyncio.sleep(seconds)
            seconds = self._uploads.take(caller.key_id)

    def sign_in(self, key_id: str) -> None:
        """Count a sign-in; raise ``RateLimited`` where there were too many."""
        self._limit(self._sign_ins, key_id, "sign-ins")

    def _limit(self, buckets: TokenBuckets, key_id: str, what: str) -> None:
        seconds = buckets.take(key_id)
        if seconds:
            raise RateLimited(
                f"Too many {what} of this key in a short time. Repeat this one after Retry-After seconds.",
                seconds=seconds,
            )


def _network(address: str) -> str:
    """Return whom an address stands for: in IPv6 its network, where one caller has as many addresses as it likes."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((parsed, _IPV6_NETWORK_BITS), strict=False))
    return address
