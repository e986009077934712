"""What Redis holds of all that a model of the queue knows, at one moment and in one trip: it is asked at every step."""

from __future__ import annotations

from dataclasses import dataclass

from redis import Redis

from services.jobs import keys
from services.jobs.records import Priority
from services.jobs.stored import RECORD_FIELDS
from tests.support.queue_model import QueueModel

TARGET = "pacs"


@dataclass(frozen=True, kw_only=True)
class Sight:
    """``films`` has the fields of each film's record as they lie in Redis, ``objects`` the films of each object."""

    films: dict[str, list[str | None]]
    objects: dict[tuple[str, str], list[str]]
    queued: list[str]
    open_ids: set[str]
    open_bytes: int
    of_sites: dict[str, str]
    owed: set[str]
    due: set[str]
    since: set[str]


def look(redis: Redis, model: QueueModel) -> Sight:
    """Return what there is of the films that the model knows."""
    pipe, films, objects = redis.pipeline(transaction=False), list(model.accepted), list(model.objects)
    pipe.get(keys.OPEN_BYTES)
    pipe.hgetall(keys.OPEN_OF_SITE)
    for zset in (keys.OPEN, keys.LEDGER_DUE, keys.delivery("due", TARGET), keys.delivery("since", TARGET)):
        pipe.zrange(zset, 0, -1)
    for priority in Priority:
        pipe.xrange(keys.queue(priority))
    for film_id in films:
        pipe.hmget(keys.instance(film_id), RECORD_FIELDS)
    for site, uid in objects:
        pipe.zrange(keys.sop(site, uid), 0, -1)
    open_bytes, of_sites, open_ids, owed, due, since, stat, routine, *rest = pipe.execute()
    return Sight(
        films=dict(zip(films, rest[: len(films)], strict=True)),
        objects=dict(zip(objects, rest[len(films) :], strict=True)),
        queued=[fields["id"] for _, fields in [*stat, *routine]],
        open_ids=set(open_ids),
        open_bytes=int(open_bytes or 0),
        of_sites=of_sites,
        owed=set(owed),
        due=set(due),
        since=set(since),
    )
