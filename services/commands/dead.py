"""``cxr-triage dead``: films that ended by the service's own fault, and another chance for them.

Dead letters are no films lost: each has its record, ``not_assessed``, and stands in the worklist until somebody reads
it. To queue one again is written into the audit trail. Must not know how a film is queued; ``JobQueue`` does.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.table import Table

from model.errors import Reason
from services.commands.place import DataDirectory, Place, find_place, who_runs_this
from services.jobs.connection import connect_gateway
from services.jobs.errors import JobNotFound, NotRescorable, QueueFull, SiteShareUsed, SpoolUnavailable
from services.jobs.ledger.entries import AuditEvent
from services.jobs.ledger.trail import AuditTrail, open_trail
from services.jobs.limits import QueueLimits
from services.jobs.queue import DeadFilm, JobQueue
from services.jobs.settings import ApiSettings, SpoolSettings, load_settings
from services.jobs.spool import Spool

EXIT_FAILED: Final = 1
EXIT_WRONG_USAGE: Final = 2
EXIT_REFUSED: Final = 3
_PAGE: Final = 500
_WIDTH_OF_A_FILE: Final = 160  # a table that is piped has no terminal to take its width from

app = typer.Typer(help="Films that ended by the service's own fault (docs/operating.md).", no_args_is_help=True)


class OurFault(StrEnum):
    """The reasons that say more of the service than of the film."""

    WORKER_CRASH = Reason.WORKER_CRASH
    RETRIES_EXHAUSTED = Reason.RETRIES_EXHAUSTED
    DEADLINE = Reason.DEADLINE
    PAYLOAD_DIGEST = Reason.PAYLOAD_DIGEST


@app.command("list")
def show(
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="So many at most, the newest first.")] = 100,
    is_json: Annotated[bool, typer.Option("--json", help="One JSON object a line instead of a table.")] = False,
    data_dir: DataDirectory = None,
) -> None:
    """List films that ended by the service's own fault, newest first.

    A film that failed twice is listed twice. `again` says whether `dead requeue` would take it: not while it is open or
    decided since, and not once its payload is past retention.
    """
    films = asyncio.run(_newest(find_place(data_dir), limit))
    if is_json:
        for film in films:
            print(json.dumps(_facts(film)))
        return
    table = Table("id", "reason", "ended (UTC)", "again", box=None, pad_edge=False)
    for film in films:
        table.add_row(
            film.film_id, film.reason, f"{film.ended_at:%Y-%m-%d %H:%M:%S}", "yes" if film.is_requeueable else "no"
        )
    width = None if Console().is_terminal else _WIDTH_OF_A_FILE
    Console(width=width, highlight=False, markup=False).print(table)


@app.command("requeue")
def requeue(
    film_ids: Annotated[
        list[str] | None, typer.Argument(metavar="[ID]...", help="Films, as `dead list` shows them.")
    ] = None,
    reason: Annotated[OurFault | None, typer.Option(help="All that ended with this reason.")] = None,
    is_all: Annotated[bool, typer.Option("--all", help="All that can be queued again.")] = False,
    data_dir: DataDirectory = None,
) -> None:
    """Queue films again that ended by the service's own fault. Their old decisions stay in their history.

    Exits 0 when all of them are queued, 3 when some are refused (payload gone, not our fault, unknown), 1 when the
    backlog has no room for the rest, or the audit trail could not be written.
    """
    if bool(film_ids) + (reason is not None) + is_all != 1:
        print("cxr-triage dead requeue: name films, or give --reason, or --all", file=sys.stderr)
        raise typer.Exit(EXIT_WRONG_USAGE)
    place = find_place(data_dir)
    with open_trail(place.audit, "cli") as trail:
        tally = asyncio.run(_requeue(place, trail, film_ids, None if reason is None else Reason(reason)))
    print(f"{tally.queued} queued again, {tally.refused} refused")
    if trail.waiting:
        print(f"cxr-triage dead requeue: the audit trail in {place.audit.directory} takes nothing", file=sys.stderr)
    if trail.waiting or not tally.is_complete:
        raise typer.Exit(EXIT_FAILED)
    if tally.refused:
        raise typer.Exit(EXIT_REFUSED)


@dataclass(kw_only=True)
class _Tally:
    queued: int = 0
    refused: int = 0
    is_complete: bool = True


async def _newest(place: Place, limit: int) -> list[DeadFilm]:
    async with _queue(place) as queue:
        films: list[DeadFilm] = []
        async for film in _all_dead(queue):
            films.append(film)
            if len(films) == limit:
                break
        return films


async def _requeue(place: Place, trail: AuditTrail, film_ids: list[str] | None, reason: Reason | None) -> _Tally:
    """Queue films one by one, and stop where there is no room; what was queued until then stays so."""
    tally, spool = _Tally(), _spool(place.spool)
    async with _queue(place) as queue:
        async for film_id in _wanted(queue, film_ids, reason):
            try:
                await _require_payload(queue, spool, film_id)
                record = await queue.requeue(film_id)
            except (JobNotFound, NotRescorable) as error:
                tally.refused += 1
                print(f"{film_id}: {error.code}: {error}", file=sys.stderr)
            except (QueueFull, SiteShareUsed) as error:
                tally.is_complete = False
                print(f"{film_id}: {error.code}: no room for it and the rest; come again later", file=sys.stderr)
                break
            else:
                tally.queued += 1
                event, who = AuditEvent.REQUEUED, who_runs_this()
                trail.note(event, who=who, film_id=film_id, study_uid=record.study_uid, site=record.site)
    return tally


async def _require_payload(queue: JobQueue, spool: Spool, film_id: str) -> None:
    """Raise NotRescorable where Redis names a payload that is lost: the film would only fail once more."""
    known = (await queue.registrations([film_id])).get(film_id)
    if known is not None and known.payload is not None and not spool.has(known.payload):
        raise NotRescorable("The film's payload is not in the spool. It has to be read by hand; its record stays.")


async def _wanted(queue: JobQueue, film_ids: list[str] | None, reason: Reason | None) -> AsyncIterator[str]:
    """Yield the films that were named, or those of the list that can be queued again; each once."""
    if film_ids:
        for film_id in dict.fromkeys(film_ids):
            yield film_id
        return
    seen = set[str]()
    async for film in _all_dead(queue):
        # The newest entry of a film speaks of what it is now; older ones would repeat it.
        if film.film_id not in seen and film.is_requeueable and (reason is None or reason is film.reason):
            yield film.film_id
        seen.add(film.film_id)


async def _all_dead(queue: JobQueue) -> AsyncIterator[DeadFilm]:
    after: str | None = None
    while page := await queue.dead(limit=_PAGE, after=after):
        for film in page:
            yield film
        after = page[-1].entry


@asynccontextmanager
async def _queue(place: Place) -> AsyncIterator[JobQueue]:
    api = load_settings(ApiSettings)
    # The gateway's own limits: what is queued again takes its place in the same backlog.
    limits = QueueLimits(
        routine_depth=api.routine_depth,
        stat_reserve=api.stat_reserve,
        open_bytes=api.queue_bytes,
        site_share=api.site_share,
    )
    async with connect_gateway(place.redis) as redis:
        yield JobQueue(redis, limits=limits)


def _spool(settings: SpoolSettings) -> Spool:
    """Open the spool; raise SpoolUnavailable where it is not there, which a command must not make."""
    if not settings.directory.is_dir():
        raise SpoolUnavailable(f"no spool at {settings.directory}; --data-dir or CXR_SPOOL_DIRECTORY names it")
    return Spool.of(settings)


def _facts(film: DeadFilm) -> dict[str, object]:
    return {
        "id": film.film_id,
        "reason": film.reason,
        "ended_at": film.ended_at.isoformat(),
        "is_requeueable": film.is_requeueable,
    }
