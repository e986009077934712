"""What the audit trail says after a row: whole chains, and the outcome of every film that is done."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import redis

from services.jobs import keys
from services.jobs.ledger.entries import Head
from services.jobs.ledger.reading import LedgeredFilm, read_films
from services.jobs.stored import Result
from tests.support.bar import Row
from tests.support.gateway import wait_until


def mark_ledger(row: Row, client: redis.Redis, audit: Path, film_ids: Iterable[str], *, seconds: float) -> None:
    """Wait until nothing is owed to the ledger, then mark that its chains are whole and tell of every film as Redis
    does: a result must never be the only copy (RELIABILITY §2, R10)."""
    wanted = set(film_ids)
    wait_until(lambda: client.zcard(keys.LEDGER_DUE) == 0, seconds=seconds, what="a ledger that is owed nothing")
    heads = {name: Head.read(text) for name, text in client.hgetall(keys.LEDGER_HEADS).items()}
    verification, ledgered = read_films(audit, heads, is_wanted=wanted.__contains__)
    for finding in verification.findings:
        print(finding)
    row.mark("audit_findings", len(verification.findings), exactly=0)
    other = [film_id for film_id in wanted if _in_redis(client, film_id) != _in_ledger(ledgered.get(film_id))]
    row.mark("films_not_in_ledger_as_in_redis", len(other), exactly=0)


def _in_redis(client: redis.Redis, film_id: str) -> Result | None:
    text = client.hget(keys.instance(film_id), "result")
    return None if text is None else Result.model_validate_json(text)


def _in_ledger(film: LedgeredFilm | None) -> Result | str:
    return "nothing" if film is None else film.decisions[-1].result
