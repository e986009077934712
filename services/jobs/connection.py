"""Connections to Redis, and the wall where its errors become ours.

Knows nothing of what is stored. Retried commands are safe only because every write of this package is a script that
may be repeated: redis-py repeats a command whose reply was lost.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from redis import Redis
from redis.asyncio import BlockingConnectionPool
from redis.asyncio import Redis as AsyncRedis
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import ExponentialBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from services.jobs.errors import QueueUnavailable
from services.jobs.settings import RedisSettings

MAX_BLOCK_MS = 2000  # a blocking read must return before the socket's timeout
_GATEWAY_TIMEOUT_SECONDS = 2.0
_WORKER_TIMEOUT_SECONDS = 5.0
_BACKOFF_BASE_SECONDS = 0.02
_GATEWAY_CONNECTIONS = 64
# uvloop's words for a write to a connection that the other side has just closed; asyncio's own loop raises an OSError.
_CLOSED = "the handler is closed"


def connect_gateway(settings: RedisSettings) -> AsyncRedis:
    """Return the gateway's client: a dead Redis is an answer, not a wait, because its callers can come again."""
    retry = AsyncRetry(ExponentialBackoff(cap=0.5, base=_BACKOFF_BASE_SECONDS), 2)
    # A bounded pool that makes callers wait a moment: redis-py's own raises when its connections are in use.
    pool = BlockingConnectionPool.from_url(
        settings.url.get_secret_value(),
        max_connections=_GATEWAY_CONNECTIONS,
        timeout=_GATEWAY_TIMEOUT_SECONDS,
        retry=retry,
        **_options(_GATEWAY_TIMEOUT_SECONDS),
    )
    return AsyncRedis.from_pool(pool)


def connect_worker(settings: RedisSettings) -> AsyncRedis:
    """Return the worker's client: it rides out a restart of Redis; longer outages are its loop's affair."""
    retry = AsyncRetry(ExponentialBackoff(cap=1.0, base=_BACKOFF_BASE_SECONDS), 6)
    return AsyncRedis.from_url(settings.url.get_secret_value(), retry=retry, **_options(_WORKER_TIMEOUT_SECONDS))


def connect_heartbeat(settings: RedisSettings) -> Redis:
    """Return a synchronous client for the heartbeat's thread; it fails fast, because the next beat follows."""
    retry = Retry(ExponentialBackoff(cap=0.5, base=_BACKOFF_BASE_SECONDS), 2)
    return Redis.from_url(settings.url.get_secret_value(), retry=retry, **_options(_GATEWAY_TIMEOUT_SECONDS))


def _options(timeout_seconds: float) -> dict[str, Any]:
    return {
        "decode_responses": True,
        "protocol": 2,  # scripts answer the same on 6.2 and later, and no handshake is spent on RESP3
        "socket_timeout": timeout_seconds,
        "socket_connect_timeout": timeout_seconds,
    }


@contextmanager
def translate_redis_errors() -> Iterator[None]:
    """Turn every error of redis-py, of a connection below it, and our own deadline, into ``QueueUnavailable``.

    Scripts on Redis 6.2 wrap what refused them into a plain ``ResponseError`` (OOM, MISCONF, READONLY), so the class
    of an error says too little to tell the harmless from the rest.
    """
    try:
        yield
    except (RedisError, TimeoutError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and _CLOSED not in str(error):
            raise
        raise QueueUnavailable(f"Redis: {type(error).__name__}: {error}") from error


@asynccontextmanager
async def bounded(seconds: float | None) -> AsyncIterator[None]:
    """Translate errors, and give up after ``seconds`` (never where ``None``): retries of retries add up otherwise."""
    with translate_redis_errors():
        async with asyncio.timeout(seconds):
            yield
