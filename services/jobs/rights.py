"""What each process may do in Redis: one user each, commands listed one by one, only our keys.

A script runs with the rights of its caller, so the commands inside the scripts are listed too; a test compares them
with the scripts. Nobody has FLUSHALL, KEYS, CONFIG SET, DEBUG or MODULE, and ``default`` may not sign in at all
(RELIABILITY.md §4). Rules read the same on Redis 6.2 and later.
"""

from __future__ import annotations

import hashlib
from enum import StrEnum
from typing import Final

from services.jobs import keys


class RedisUser(StrEnum):
    """Who signs in."""

    API = "api"  # gateways, and the operator's commands
    WORKER = "worker"
    DIMSE = "dimse"  # takes films in, as a gateway does
    DELIVERY = "delivery"  # carries results out
    EXPORTER = "exporter"  # redis_exporter: Redis' own figures, and nothing of any key


_CONNECTION: Final = ("ping", "info", "time", "multi", "exec", "evalsha", "script|load", "config|get")
_OF_STRINGS: Final = ("get", "set", "del", "exists", "expire", "persist", "ttl", "pttl", "incr", "incrby", "decrby")
_OF_HASHES: Final = ("hget", "hset", "hdel", "hmget", "hgetall", "hincrby", "hexists")
_OF_SETS: Final = ("sadd", "scard", "sismember", "smembers", "srem")
_OF_SORTED_SETS: Final = (
    *("zadd", "zcard", "zcount", "zrange", "zrangebyscore", "zrem", "zremrangebyrank", "zrevrange", "zscore"),
)
_OF_LISTS: Final = ("rpush", "lindex", "linsert", "lrange", "ltrim")
_OF_STREAMS: Final = ("xadd", "xack", "xdel", "xlen", "xrange", "xrevrange", "xread", "xpending", "xinfo")
_SHARED: Final = (*_CONNECTION, *_OF_STRINGS, *_OF_HASHES, *_OF_SETS, *_OF_SORTED_SETS, *_OF_LISTS, *_OF_STREAMS)

ALLOWED: Final = {
    RedisUser.API: _SHARED,
    # As a gateway: a user of its own can be shut out alone, and is told apart in CLIENT LIST and ACL LOG.
    RedisUser.DIMSE: _SHARED,
    RedisUser.DELIVERY: _SHARED,
    # Films are taken, held and handed over by workers only.
    RedisUser.WORKER: (*_SHARED, "xreadgroup", "xclaim", "xgroup"),
    # Not SLOWLOG GET and CONFIG GET, which it asks for and does without: the first shows arguments.
    RedisUser.EXPORTER: ("ping", "info", "latency|latest", "slowlog|len"),
}


def acl_file(passwords: dict[RedisUser, str]) -> str:
    """Return Redis' ``aclfile``: the users, with the sha256 of their passwords."""
    lines = ["user default off resetkeys resetchannels -@all"]
    for user, allowed in ALLOWED.items():
        digest = hashlib.sha256(passwords[user].encode()).hexdigest()
        commands = " ".join(f"+{command}" for command in allowed)
        lines.append(f"user {user} on #{digest} ~{keys.TAG}:* resetchannels -@all {commands}")
    return "\n".join(lines) + "\n"
