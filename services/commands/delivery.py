"""``cxr-triage delivery``: how far behind targets are, results that were given up, and another chance for both.

A dead letter is no result lost: the film has its record, and stands in the worklist. What an operator does is written
into the audit trail. Must not know how results are sent.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.table import Table

from services.commands.place import DataDirectory, Place, find_place, who_runs_this
from services.jobs.connection import connect_gateway
from services.jobs.deliveries import DeadLetter, Requeued, TargetStanding
from services.jobs.delivery_outbox import DeliveryOutbox
from services.jobs.ledger.entries import AuditEvent, Note
from services.jobs.ledger.trail import AuditTrail, open_trail
from services.jobs.records import moment

EXIT_FAILED: Final = 1
EXIT_WRONG_USAGE: Final = 2
EXIT_REFUSED: Final = 3
_PAGE: Final = 500
_WIDTH_OF_A_FILE: Final = 160  # a table that is piped has no terminal to take its width from

app = typer.Typer(help="Results on their way to PACS and webhooks (docs/integration.md).", no_args_is_help=True)

TargetName = Annotated[str, typer.Argument(metavar="TARGET", help="A target, as `delivery list` names it.")]


@app.command("list")
def show(
    target: Annotated[
        str | None, typer.Argument(metavar="[TARGET]", help="Its dead letters, instead of all targets.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="So many dead letters at most, newest first.")] = 100,
    is_json: Annotated[bool, typer.Option("--json", help="One JSON object a line instead of a table.")] = False,
    data_dir: DataDirectory = None,
) -> None:
    """List targets: what each is owed, since when, and how much was given up. With TARGET, what was given up and why.

    Exits 3 where no target has that name.
    """
    place = find_place(data_dir)
    if target is None:
        rows = [_standing_facts(standing) for standing in asyncio.run(_standings(place))]
    else:
        rows = [_letter_facts(letter) for letter in asyncio.run(_letters(place, target, limit))]
    if is_json:
        for row in rows:
            print(json.dumps(row))
    elif rows:
        table = Table(*rows[0], box=None, pad_edge=False)
        for row in rows:
            table.add_row(*("" if value is None else str(value) for value in row.values()))
        width = None if Console().is_terminal else _WIDTH_OF_A_FILE
        Console(width=width, highlight=False, markup=False).print(table)


@app.command("requeue")
def requeue(
    target: TargetName,
    letters: Annotated[
        list[str] | None,
        typer.Argument(metavar="[LETTER]...", help="Dead letters, as `delivery list TARGET` has them."),
    ] = None,
    is_all: Annotated[bool, typer.Option("--all", help="All dead letters of the target.")] = False,
    data_dir: DataDirectory = None,
) -> None:
    """Have results sent again that were given up. What the target has by now it gets once more, under the same UIDs.

    Of a film past retention (`payload` is `gone` in `delivery list TARGET`) no report or overlay can be made; a webhook
    is told all the same.

    Exits 0 when all of them are under way, 3 when some are no dead letters (any more) or nobody knows the target, 1
    when the audit trail could not be written.
    """
    if bool(letters) == is_all:
        print("cxr-triage delivery requeue: name dead letters, or give --all", file=sys.stderr)
        raise typer.Exit(EXIT_WRONG_USAGE)
    place = find_place(data_dir)
    wanted = None if is_all else list(dict.fromkeys(letters or ()))
    with open_trail(place.audit, "cli") as trail:
        requeued = asyncio.run(_requeue(place, trail, target, wanted))
    refused = 0 if wanted is None else len(wanted) - requeued.count
    print(f"{requeued.count} on their way again, {refused} refused")
    if requeued.without_payload:
        lacking = "of them are of films past retention: no report or overlay can be made of these"
        print(f"{requeued.without_payload} {lacking}")
    _exit_where_unwritten(place, trail)
    if refused:
        raise typer.Exit(EXIT_REFUSED)


@app.command("enable")
def enable(target: TargetName, data_dir: DataDirectory = None) -> None:
    """Serve a target again that has answered 410 Gone, with all that it is owed since.

    Exits 3 where it was not disabled or nobody knows it, 1 when the audit trail could not be written.
    """
    place = find_place(data_dir)
    with open_trail(place.audit, "cli") as trail:
        is_enabled = asyncio.run(_enable(place, trail, target))
    _exit_where_unwritten(place, trail)
    if not is_enabled:
        print(f"cxr-triage delivery enable: {target} is not disabled", file=sys.stderr)
        raise typer.Exit(EXIT_REFUSED)
    print(f"{target} is served again")


@app.command("forget")
def forget(
    target: TargetName,
    is_announced_too: Annotated[
        bool, typer.Option("--announced", help="Also one that is announced, where no delivery is to run any more.")
    ] = False,
    data_dir: DataDirectory = None,
) -> None:
    """Drop what a target is owed that the targets file names no more, and its dead letters. Nobody sends them then.

    Records stay. Exits 3 where nobody knows the target, or it is announced: take it out of the file and restart
    delivery first. Exits 1 when the audit trail could not be written.
    """
    place = find_place(data_dir)
    with open_trail(place.audit, "cli") as trail:
        standing = asyncio.run(_forget(place, trail, target, is_announced_too))
    _exit_where_unwritten(place, trail)
    if standing is None:
        advice = "take it out of the targets file and restart delivery, or give --announced where none runs any more"
        print(f"cxr-triage delivery forget: {target} is served: {advice}", file=sys.stderr)
        raise typer.Exit(EXIT_REFUSED)
    print(f"{target} is forgotten, with {standing.due} results that it was owed and {standing.dead} dead letters")


async def _standings(place: Place) -> list[TargetStanding]:
    async with _outbox(place) as outbox:
        return await outbox.standings()


async def _letters(place: Place, target: str, limit: int) -> list[DeadLetter]:
    async with _outbox(place) as outbox:
        await _require_target(outbox, target)
        return await outbox.dead_letters(target, limit=limit)


async def _requeue(place: Place, trail: AuditTrail, target: str, members: list[str] | None) -> Requeued:
    count = gone = 0
    async with _outbox(place) as outbox:
        await _require_target(outbox, target)
        async for page in _requeued(outbox, target, members):
            count, gone = count + page.count, gone + page.without_payload
            if page.count:  # now, because the next page may not be reached
                facts = {"who": who_runs_this(), "target": target, "count": page.count}
                trail.note_facts(Note(event=AuditEvent.RESENT, facts=facts))
    return Requeued(count=count, without_payload=gone)


async def _requeued(outbox: DeliveryOutbox, target: str, members: list[str] | None) -> AsyncIterator[Requeued]:
    """Requeue these, or all, a page at a time."""
    for at in range(0, len(members or ()), _PAGE):
        yield await outbox.requeue(target, (members or ())[at : at + _PAGE])
    # Ends, though the target may refuse them as fast again: no page is full then.
    is_more = members is None
    while is_more:
        page = await outbox.requeue(target, limit=_PAGE)
        yield page
        is_more = page.count == _PAGE


async def _forget(place: Place, trail: AuditTrail, target: str, is_announced_too: bool) -> TargetStanding | None:
    """Return how the target stood, or ``None`` where it is served."""
    async with _outbox(place) as outbox:
        standing = await _require_target(outbox, target)
        is_forgotten = await outbox.forget(target, is_announced_too=is_announced_too)
    if not is_forgotten:
        return None
    facts = {"who": who_runs_this(), "target": target, "count": standing.due + standing.dead}
    trail.note_facts(Note(event=AuditEvent.TARGET_FORGOTTEN, facts=facts))
    return standing


async def _enable(place: Place, trail: AuditTrail, target: str) -> bool:
    async with _outbox(place) as outbox:
        await _require_target(outbox, target)
        is_enabled = await outbox.enable(target)
    if is_enabled:
        trail.note_facts(Note(event=AuditEvent.TARGET_ENABLED, facts={"who": who_runs_this(), "target": target}))
    return is_enabled


async def _require_target(outbox: DeliveryOutbox, target: str) -> TargetStanding:
    """End the command where no target was ever announced by this name: a typing error must not look like success."""
    for standing in await outbox.standings():
        if standing.name == target:
            return standing
    print(f"cxr-triage delivery: no target {target}", file=sys.stderr)
    raise typer.Exit(EXIT_REFUSED)


def _exit_where_unwritten(place: Place, trail: AuditTrail) -> None:
    if trail.waiting:
        print(f"cxr-triage delivery: the audit trail in {place.audit.directory} takes nothing", file=sys.stderr)
        raise typer.Exit(EXIT_FAILED)


@asynccontextmanager
async def _outbox(place: Place) -> AsyncIterator[DeliveryOutbox]:
    async with connect_gateway(place.redis) as redis:
        yield DeliveryOutbox(redis)


def _standing_facts(standing: TargetStanding) -> dict[str, object]:
    oldest_ms = standing.oldest_owed_ms
    return {
        "target": standing.name,
        "state": _state(standing),
        "owed": standing.due,
        "oldest_seconds": None if oldest_ms is None else max(0, standing.now_ms - oldest_ms) // 1000,
        "dead": standing.dead,
    }


def _state(standing: TargetStanding) -> str:
    if standing.disabled_reason is not None:
        return f"disabled ({standing.disabled_reason})"
    return "served" if standing.is_announced else "not configured"


def _letter_facts(letter: DeadLetter) -> dict[str, object]:
    return {
        "letter": letter.member,
        "film": letter.film_id,
        "commit": letter.commit,
        "payload": "kept" if letter.is_payload_kept else "gone",
        "reason": letter.reason,
        "attempts": letter.attempts,
        "given_up_at": f"{moment(letter.dead_ms):%Y-%m-%dT%H:%M:%SZ}",
    }
