"""Whether Redis, as it is set up, keeps what it acknowledges. Asked before the gateway says it is ready."""

from __future__ import annotations

import logging
import secrets
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from services.jobs import keys
from services.jobs.errors import QueueUnavailable, QueueUnsafe

logger = logging.getLogger(__name__)

OLDEST_REDIS = (6, 2)
_PROBE_SECONDS = 60


async def check_durability(redis: Redis) -> None:
    """Refuse a Redis that could lose an acknowledged film; then write to it, because it may refuse writes.

    ``INFO`` says all but the fsync policy, which ``CONFIG GET`` adds where the user's rights allow it.

    Raises
    ------
    QueueUnsafe
        With what is wrong: no append-only file, an evicting policy, a replica, fsync off, a Redis before 6.2.
    QueueUnavailable
        While Redis still reads what it keeps: until then ``INFO`` says ``aof_enabled:0``, whatever is set.
    """
    facts: dict[str, Any] = {}
    for section in ("server", "persistence", "memory", "replication"):
        facts.update(await redis.info(section))
    if int(facts["loading"]):
        raise QueueUnavailable("Redis is still reading its files")
    version = tuple(int(part) for part in str(facts["redis_version"]).split(".")[:2])
    if version < OLDEST_REDIS:
        raise QueueUnsafe(f"Redis {facts['redis_version']} is older than 6.2")
    if facts["role"] != "master":
        raise QueueUnsafe("Redis is a replica; writes belong to the primary")
    if int(facts["aof_enabled"]) != 1:
        raise QueueUnsafe("Redis has no append-only file; set appendonly yes")
    if facts["maxmemory_policy"] != "noeviction":
        raise QueueUnsafe("Redis may evict films; set maxmemory-policy noeviction")
    await _check_fsync(redis)
    await redis.set(keys.PROBE, "1", ex=_PROBE_SECONDS)


async def identity(redis: Redis) -> str:
    """Return what stays the same as long as this Redis has forgotten nothing since it was asked last.

    It changes with a restart, a failover to another process, and a FLUSHALL.
    """
    await redis.set(keys.EPOCH, secrets.token_hex(8), nx=True)
    facts = await redis.info("server")
    epoch: Any = await redis.get(keys.EPOCH)
    return f"{facts['run_id']} {epoch}"


async def _check_fsync(redis: Redis) -> None:
    try:
        policy = (await redis.config_get("appendfsync")).get("appendfsync")
    except ResponseError:
        logger.info("fsync policy is not readable", extra={"action": "durability_unverified"})
        return
    if policy == "no":
        raise QueueUnsafe("Redis never syncs its append-only file; set appendfsync always")
    if policy != "always":
        logger.warning(
            "a power cut may lose the last second of acknowledged films", extra={"action": "durability_weak"}
        )
