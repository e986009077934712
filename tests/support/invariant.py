"""The safety invariant (DESIGN §2, RELIABILITY §2), looked up in what Redis and the gateway hold after a row.

Reads raw hashes and JSON and not through the product's own models: those refuse to be built from a record that breaks
the invariant, so a fault of theirs would hide what it let through.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

import httpx
import redis

from services.jobs import keys
from services.jobs.records import Priority
from tests.support.bar import Row

_SCORED: Final = frozenset({"flagged", "not_flagged"})
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_PAGE: Final = 500


def safety_violations(client: redis.Redis) -> list[str]:
    """Return a sentence for each film, past decision and study in Redis that breaks the invariant; none is right."""
    films = dict(_hashes(client, keys.instance("*")))
    return [
        *(broken for key, film in films.items() for broken in _film_violations(_tail(key), film)),
        *_history_violations(client),
        *_study_violations(client, films),
    ]


def lost(client: redis.Redis, film_ids: Iterable[str]) -> list[str]:
    """Return which of these acknowledged films have no outcome, or no record at all."""
    wanted = list(dict.fromkeys(film_ids))
    pipe = client.pipeline(transaction=False)
    for film_id in wanted:
        pipe.hmget(keys.instance(film_id), "state", "outcome")
    return [
        film_id
        for film_id, (state, outcome) in zip(wanted, pipe.execute(), strict=True)
        if state != "done" or outcome is None
    ]


def duplicates(client: redis.Redis) -> list[str]:
    """Return the films whose outcome was written more often than once."""
    films = _hashes(client, keys.instance("*"))
    return [_tail(key) for key, film in films if int(film.get("commits", 0)) > 1]


def leftovers(client: redis.Redis) -> dict[str, int]:
    """Return what is left of work, by name; all of it is 0 when every film is done."""
    found: dict[str, int] = {}
    for priority in Priority:
        stream = keys.queue(priority)
        found[f"entries_{priority}"] = int(client.xlen(stream))
        found[f"pending_{priority}"] = _pending(client, stream)
    found["open"] = int(client.zcard(keys.OPEN))
    found["retry"] = int(client.zcard(keys.RETRY))
    found["open_bytes"] = int(client.get(keys.OPEN_BYTES) or 0)
    found["open_of_sites"] = sum(abs(int(count)) for count in client.hvals(keys.OPEN_OF_SITE))
    return found


def record_violations(record: Mapping[str, Any]) -> list[str]:
    """Return what is wrong with a record as the gateway gives it."""
    broken = list(_verdict_violations(record, state=record["state"]))
    if not _SHA256.fullmatch(record["sha256"] or ""):
        broken.append("has no sha256 of its input")
    if (record["done_at"] is not None) != (record["state"] == "done"):
        broken.append("has a time of its end exactly when it has none")
    return [f"{record['id']} {what}" for what in broken]


def safety_violations_over_http(client: httpx.Client, film_ids: Iterable[str]) -> list[str]:
    """Ask ``GET /v1/instances/{id}`` for each film; a film that has no record there is a violation, too."""
    broken: list[str] = []
    for film_id in dict.fromkeys(film_ids):
        answer = client.get(f"/v1/instances/{film_id}")
        if answer.is_success:
            broken += record_violations(answer.json())
        else:
            broken.append(f"{film_id} is answered {answer.status_code}")
    return broken


def mark_safe(
    row: Row,
    client: redis.Redis,
    film_ids: Iterable[str],
    *,
    http: httpx.Client | None = None,
    is_all_done: bool = True,
) -> None:
    """Mark what every row ends with: nothing lost, nothing written twice, nothing left, nothing unread looks healthy.

    ``film_ids`` are the films that a sender was told are accepted. A row that ends with films still open says so
    (``is_all_done=False``): then nothing can be said of losses and leftovers.
    """
    ids = list(film_ids)
    broken = safety_violations(client)
    if http is not None:
        broken += safety_violations_over_http(http, ids)
    for sentence in broken[:20]:
        print(sentence)
    row.mark("safety_violations", len(broken), exactly=0)
    row.mark("duplicates", len(duplicates(client)), exactly=0)
    if is_all_done:
        row.mark("lost", len(lost(client, ids)), exactly=0)
        left = leftovers(client)
        print(left)
        row.mark("left_in_queue", sum(left.values()), exactly=0)


def _film_violations(film_id: str, film: Mapping[str, str]) -> Iterator[str]:
    try:
        job = json.loads(film["job"])
        result = json.loads(film["result"]) if "result" in film else None
    except (KeyError, ValueError):
        yield f"{film_id} cannot be read"
        return
    state = film.get("state", "")
    is_done = state == "done"
    if is_done != (result is not None) or is_done != ("outcome" in film):
        yield f"{film_id} is {state}, with result {film.get('result')} and outcome {film.get('outcome')}"
    if int(film.get("commits", 0)) != int(is_done):
        yield f"{film_id} is {state} and was written {film.get('commits')} times"
    if job.get("id") != film_id:
        yield f"{film_id} holds the job of {job.get('id')}"
    if result is None:
        return
    if result["outcome"] != film.get("outcome"):
        yield f"{film_id} is {film.get('outcome')} by its hash and {result['outcome']} by its result"
    if result["outcome"] in _SCORED and not _SHA256.fullmatch(job.get("sha256") or ""):
        yield f"{film_id} is scored and has no sha256 of its input"
    yield from (f"{film_id} {what}" for what in _verdict_violations(result, state=state))


def _verdict_violations(verdict: Mapping[str, Any], *, state: str) -> Iterator[str]:
    """Hold a record or a stored result against the invariant; both name these fields alike."""
    outcome = verdict["outcome"]
    if (outcome is not None) != (state == "done"):
        yield f"is {state} with outcome {outcome}"
    if outcome in _SCORED:
        yield from _score_violations(verdict)
        return
    carried = [name for name in ("probability", "threshold", "findings", "policy") if verdict[name] is not None]
    if carried:
        yield f"is {outcome or 'open'} and carries {', '.join(carried)}"
    if (verdict["reason"] is None) != (outcome is None):
        yield f"is {outcome or 'open'} with reason {verdict['reason']}"


def _score_violations(verdict: Mapping[str, Any]) -> Iterator[str]:
    probability, threshold = verdict["probability"], verdict["threshold"]
    numbers = [probability, threshold, *(finding["probability"] for finding in verdict["findings"] or ())]
    if not all(_is_share(number) for number in numbers):
        yield f"is {verdict['outcome']} by {numbers}"
    elif (verdict["outcome"] == "flagged") != (probability >= threshold):
        yield f"is {verdict['outcome']} with {probability} against {threshold}"
    if verdict["reason"] is not None:
        yield f"is {verdict['outcome']} with reason {verdict['reason']}"
    if not _SHA256.fullmatch((verdict["model"] or {}).get("digest") or ""):
        yield f"is {verdict['outcome']} by no model"


def _is_share(number: object) -> bool:
    return isinstance(number, int | float) and math.isfinite(number) and 0 <= number <= 1


def _history_violations(client: redis.Redis) -> Iterator[str]:
    """Past decisions of films that were scored again are held to the same."""
    for key in client.scan_iter(match=keys.history("*"), count=_PAGE):
        for past in client.lrange(key, 0, -1):
            result = json.loads(json.loads(past)["result"])
            yield from (f"{_tail(key)} once {what}" for what in _verdict_violations(result, state="done"))


def _study_violations(client: redis.Redis, films: Mapping[str, Mapping[str, str]]) -> Iterator[str]:
    """No study ranks as not flagged over a film that is open or that nobody read.

    A lateral beside a scored frontal is excused (DESIGN §6). A film that is being scored again counts as it did.
    """
    for key, study in _hashes(client, f"{keys.TAG}:study:*"):
        if study.get("class") != "not_flagged":
            continue
        members = [str(member) for member in client.zrange(keys.study_members(study["site"], study["study"]), 0, -1)]
        known = {film_id: films[keys.instance(film_id)] for film_id in members if keys.instance(film_id) in films}
        ranks = {film_id: film.get("counted") or film.get("state") for film_id, film in known.items()}
        unread = [film_id for film_id, rank in ranks.items() if rank not in ("not_flagged", "lateral")]
        yield from (f"{_tail(key)} ranks as not flagged over {film_id}, {ranks[film_id]}" for film_id in unread)
        if ranks and "not_flagged" not in ranks.values():
            yield f"{_tail(key)} ranks as not flagged, and none of its films is"


def _hashes(client: redis.Redis, pattern: str) -> Iterator[tuple[str, dict[str, str]]]:
    names = list(dict.fromkeys(client.scan_iter(match=pattern, count=_PAGE)))
    for at in range(0, len(names), _PAGE):
        page = names[at : at + _PAGE]
        pipe = client.pipeline(transaction=False)
        for name in page:
            pipe.hgetall(name)
        yield from zip(page, pipe.execute(), strict=True)


def _pending(client: redis.Redis, stream: str) -> int:
    try:
        return int(client.xpending(stream, keys.GROUP)["pending"])
    except redis.exceptions.ResponseError as error:
        if "NOGROUP" in str(error) or "no such key" in str(error):
            return 0  # nobody has taken anything of this priority yet
        raise


def _tail(key: str) -> str:
    return key.rsplit(":", 1)[-1]
