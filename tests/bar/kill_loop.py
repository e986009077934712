"""The kill loop that R1 to R4 share: films are sent while workers, Redis and a gateway are killed."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import redis

from services.jobs import keys
from tests.support.bar import Row
from tests.support.invariant import mark_safe
from tests.support.kill_rig import Faults, KillRig, torment, wait_all_done
from tests.support.ledger_marks import mark_ledger
from tests.support.parts import Parts
from tests.support.patient_senders import Delivery, PatientSenders
from tests.support.senders import http_client
from tests.support.told_apart_films import ToldApartFilm

SENDERS: Final = 4
# Below what two tormented workers manage on two cores, so that faults meet films at every stage, not only a backlog.
FILMS_PER_SECOND: Final = 100.0
REDIS_KILLS: Final = 5
GATEWAY_KILLS: Final = 1
STUCK_SECONDS: Final = 15.0
# A submit's own patience with Redis (services/jobs/queue); a request that is accepted was answered within it.
SUBMIT_PATIENCE_MS: Final = 5000.0
# The last fault meets work, but no more than can be done in the seconds after it.
_FEW_OPEN: Final = 200
_WAIT_SECONDS: Final = 120.0
# A killed worker leases what it was about to write for ten of them (services/jobs/ledger/outbox).
_LEDGER_SECONDS: Final = 30.0
_SAME: Final = 1e-6


@dataclass(frozen=True, kw_only=True)
class LoopEnd:
    """What one kill loop came to. ``wrong`` has a sentence for each film that ended otherwise than undisturbed;
    ``given_up`` of these were taken for poison."""

    films: int
    deliveries: list[Delivery]
    faults: Faults
    seconds_to_done: float
    other_ids: int
    wrong: list[str]
    given_up: int
    exits: Counter[int]
    killed_by_poison: Counter[str]


def kill_loop(
    row: Row, parts: Parts, films: Sequence[ToldApartFilm], *, worker_module: str = "services.worker"
) -> LoopEnd:
    """Send every film through a tormented service, wait for its end, and mark the safety invariant."""
    rig = KillRig(parts, worker_module=worker_module)
    with rig.running():
        with PatientSenders(rig.urls, films, senders=SENDERS, films_per_second=FILMS_PER_SECOND) as senders:
            faults = torment(
                rig,
                until=lambda: senders.is_done and rig.open_films() <= _FEW_OPEN,
                decided=lambda: len(senders.deliveries) - rig.open_films(),
                redis_kills=REDIS_KILLS,
                gateway_kills=GATEWAY_KILLS,
            )
            wait_all_done(rig, seconds=_WAIT_SECONDS, senders=senders)
        # That a worker dies of poison is a fault, too.
        seconds_to_done = time.monotonic() - max(faults.last_at, rig.last_poisoned_at)
        told = {delivery.sent.payload: delivery.sent.film_id for delivery in senders.deliveries}
        with parts.server.client() as client, http_client(rig.urls[0]) as http:
            film_ids = [delivery.sent.film_id for delivery in senders.deliveries]
            mark_safe(row, client, film_ids, http=http)
            mark_ledger(row, client, Path(str(parts.places["audit_directory"])), film_ids, seconds=_LEDGER_SECONDS)
            return LoopEnd(
                films=len(films),
                deliveries=senders.deliveries,
                faults=faults,
                seconds_to_done=seconds_to_done,
                other_ids=sum(told.get(film.payload) != film.film_id for film in films),
                wrong=wrong_ends(client, films),
                given_up=sum(_is_given_up(client, film) for film in films if not film.is_poison),
                exits=rig.exits,
                killed_by_poison=rig.killed_by_poison(),
            )


def mark_loops(row: Row, ends: Sequence[LoopEnd], *, most_given_up: int = 0) -> None:
    """Mark what R1 asks of each loop; of several loops the sums, and the worst times."""
    row.note("films", sum(end.films for end in ends))
    row.note("worker_kills", sum(end.faults.worker_kills for end in ends))
    row.mark("redis_kills", sum(end.faults.redis_kills for end in ends), exactly=REDIS_KILLS * len(ends))
    row.mark("gateway_kills", sum(end.faults.gateway_kills for end in ends), exactly=GATEWAY_KILLS * len(ends))
    row.note("open_at_last_fault", max(end.faults.open_at_end for end in ends))
    slowest = max(end.seconds_to_done for end in ends)
    row.mark("seconds_from_last_fault_to_done", round(slowest, 1), at_most=STUCK_SECONDS)
    row.mark("other_than_undisturbed", sum(len(end.wrong) - end.given_up for end in ends), exactly=0)
    row.mark("taken_for_poison", sum(end.given_up for end in ends), at_most=most_given_up)
    _mark_deliveries(row, ends)


def wrong_ends(client: redis.Redis, films: Sequence[ToldApartFilm]) -> list[str]:
    """Return a sentence for each film whose end is not the one that an undisturbed service gives it.

    Poison ends ``not_assessed(worker_crash)`` (RELIABILITY §2, R3).
    """
    pipe = client.pipeline(transaction=False)
    for film in films:
        pipe.hmget(keys.instance(film.film_id), "result", "crashes")
    ends = zip(films, pipe.execute(), strict=True)
    wrong = [sentence for film, (result, crashes) in ends if (sentence := _wrong_end(film, result, crashes))]
    for sentence in wrong[:20]:
        print(sentence)
    return wrong


def _wrong_end(film: ToldApartFilm, result_text: str | None, crashes: str | None) -> str | None:
    if result_text is None:
        return f"{film.film_id} has no result"
    result = json.loads(result_text)
    if film.is_poison:
        is_right = (result["outcome"], result["reason"]) == ("not_assessed", "worker_crash")
    else:
        probability = result["probability"]
        is_right = probability is not None and abs(probability - film.probability) <= _SAME
        is_right = is_right and (result["outcome"] == "flagged") == film.is_flagged
    return None if is_right else f"{film.film_id} ({film.probability}) ended {result}, crashes {crashes}"


def _is_given_up(client: redis.Redis, film: ToldApartFilm) -> bool:
    result = client.hget(keys.instance(film.film_id), "result")
    return result is not None and json.loads(result)["reason"] == "worker_crash"


def _mark_deliveries(row: Row, ends: Sequence[LoopEnd]) -> None:
    deliveries = [delivery for end in ends for delivery in end.deliveries]
    row.mark("accepted", len(deliveries), exactly=sum(end.films for end in ends))
    row.mark("other_ids", sum(end.other_ids for end in ends), exactly=0)
    p50, p99 = np.percentile([delivery.accepting_ms for delivery in deliveries], [50, 99])
    row.note("accepting_request_p50_ms", round(float(p50), 1))
    row.mark("accepting_request_p99_ms", round(float(p99), 1), at_most=SUBMIT_PATIENCE_MS)
    row.note("until_accepted_p99_ms", round(float(np.percentile([d.total_ms for d in deliveries], 99)), 1))
    row.note("refused_or_cut_off", sum(len(d.sent.refusals) + d.sent.broken for d in deliveries))
