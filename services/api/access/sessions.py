"""The page's sessions: a random token in the browser's cookie, its digest in Redis with the id of the key behind it.

A session opens what its key opens, and ends with it: by its own time, by signing out, or as soon as the key does. Redis
holds nothing with which one could sign in.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, TypeAlias

from redis.asyncio import Redis

from services.api.access.credentials import digest_of, new_secret
from services.api.shared_answers import Pace, SharedQuestions
from services.jobs import keys, lua
from services.jobs.connection import bounded

COOKIE: Final = "cxr_session"
_PATIENCE_SECONDS: Final = 5.0
# What `new_secret` makes; anything longer is none of ours, and not worth a question to Redis.
_TOKEN_CHARACTERS: Final = 43
# So that a thousand pages that poll are ten questions a second, and what one page asks at once waits for nothing.
_PACE: Final = Pace(seconds=0.1, at_once=20)

# The key's id, where there is a session, and how many milliseconds it has left.
_Stored: TypeAlias = tuple[str | None, int]


@dataclass(frozen=True, kw_only=True)
class Session:
    """Who is signed in, and until when."""

    key_id: str
    until: datetime


class Sessions:
    """Begins, finds and ends sessions.

    Every write may be repeated: redis-py does so where a reply was lost.

    Attributes
    ----------
    is_secure
        Whether browsers are told to send the cookie over HTTPS only.
    """

    def __init__(self, redis: Redis, *, hours: float, is_secure: bool) -> None:
        self.is_secure = is_secure
        self._redis = redis
        self._lifetime = timedelta(hours=hours)
        self._script = redis.register_script(lua.source("sessions"))
        self._stored = SharedQuestions(self._look, pace=_PACE)

    @property
    def seconds(self) -> int:
        """How long a session lasts."""
        return max(1, int(self._lifetime.total_seconds()))

    async def begin(self, key_id: str) -> tuple[str, Session]:
        """Return a new token and its session; raise ``QueueUnavailable`` where Redis does not keep it."""
        token = new_secret()
        async with bounded(_PATIENCE_SECONDS):
            await self._redis.set(_name(token), key_id, ex=self.seconds)
        return token, Session(key_id=key_id, until=datetime.now(UTC) + self._lifetime)

    async def find(self, token: str) -> Session | None:
        """Return the session of a token, or ``None``; raise ``QueueUnavailable`` where nobody can know."""
        if len(token) != _TOKEN_CHARACTERS:
            return None
        key_id, left_ms = await self._stored(_name(token))
        if key_id is None or left_ms < 0:
            return None
        return Session(key_id=key_id, until=datetime.now(UTC) + timedelta(milliseconds=left_ms))

    async def _look(self, names: Sequence[str]) -> list[_Stored]:
        async with bounded(_PATIENCE_SECONDS):
            return [(key_id, left_ms) for key_id, left_ms in await self._script(keys=list(names))]

    async def end(self, token: str) -> None:
        """Forget a session; harmless if it has ended."""
        async with bounded(_PATIENCE_SECONDS):
            await self._redis.delete(_name(token))


def _name(token: str) -> str:
    return keys.session(digest_of(token))
