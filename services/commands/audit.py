"""``cxr-triage audit``: is the audit trail whole, and give a Redis back what it lost. Parses options and prints.

Exit codes: 0 sound, or restored; 1 with one line for each finding; 2 cannot start as configured, or cannot read.
"""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from pathlib import Path
from typing import Annotated, Final

import typer

from services.commands.place import DataDirectory, Place, find_place
from services.jobs.connection import connect_worker
from services.jobs.errors import LedgerUnavailable, QueueUnavailable
from services.jobs.ledger import retention
from services.jobs.ledger.checking import Damage
from services.jobs.ledger.entries import Head
from services.jobs.ledger.heads import Heads, running_trail
from services.jobs.ledger.restore import LedgerReader, Restored
from services.jobs.ledger.trail import AuditTrail
from services.jobs.ledger.verify import Verification
from services.jobs.ledger.verify import verify as verify_chains
from services.jobs.queue import JobQueue
from services.jobs.reconcile import reconcile
from services.jobs.settings import SettingsError
from services.jobs.spool import Spool

EXIT_FINDINGS: Final = 1
_WITHOUT_REDIS: Final = "verify with --offline, which may miss cut tails"

app = typer.Typer(help="The audit trail: verify it, restore results from it.", no_args_is_help=True)


@app.command()
def verify(
    is_offline: Annotated[
        bool, typer.Option("--offline", help="Do not ask Redis where chains end; cut tails may go unnoticed.")
    ] = False,
    data_dir: DataDirectory = None,
) -> None:
    """Check every line of every chain; exit 1 with one line for each place that is not what was written."""
    place = find_place(data_dir, needs_redis=False)
    heads = None if is_offline else _heads(data_dir)
    # The heads were asked first: since then the files can only have grown.
    report = verify_chains(place.audit.directory, heads)
    if report.chains == 0 and report.is_sound:
        raise LedgerUnavailable(f"there is no audit trail in {place.audit.directory}")
    _print(report)
    raise typer.Exit(0 if report.is_sound else EXIT_FINDINGS)


def _heads(data_dir: Path | None) -> dict[str, Head]:
    """Return where chains end, as Redis knows it; where none answers, the error says what to do.

    For a place whose settings have been read: what is wrong with them then is that no Redis is there.
    """
    try:
        return asyncio.run(_known_heads(find_place(data_dir)))
    except SettingsError as error:
        raise SettingsError(f"{error}; or {_WITHOUT_REDIS}") from error
    except QueueUnavailable as error:
        raise QueueUnavailable(f"no Redis says where chains end: start it, or {_WITHOUT_REDIS} ({error})") from error


async def _known_heads(place: Place) -> dict[str, Head]:
    async with connect_worker(place.redis) as redis:
        return await Heads(redis).known()


@app.command()
def restore(
    despite_findings: Annotated[
        bool,
        typer.Option(
            "--despite-findings",
            help="Restore although the trail is not sound: only flagged and not_assessed, only from sound chains.",
        ),
    ] = False,
    data_dir: DataDirectory = None,
) -> None:
    """Give Redis back every outcome of the last 31 days that it lost; what it knows stands.

    Policies, readings and rejections too, also where Redis is a copy older than the trail.
    Refuses, with exit code 1, where the trail is not sound.
    """
    place = find_place(data_dir)
    report, ends = asyncio.run(_restore(place, despite_findings=despite_findings))
    _print(report)
    if ends is None:
        print("nothing restored: the trail is not sound (--despite-findings restores what is safe)", file=sys.stderr)
        raise typer.Exit(EXIT_FINDINGS)
    for end in Restored:
        print(f"{ends[end]:>8}  {_MEANING[end]}")


_MEANING: Final = {
    Restored.RESTORED: "restored",
    Restored.KNOWN: "known to Redis, left as they are",
    Restored.REOPENED: "to be scored again, left open",
    Restored.EXPIRED: "older than records live",
    Restored.UNTRUSTED: "not restored: not_flagged, and the trail is not sound",
}


async def _restore(place: Place, *, despite_findings: bool) -> tuple[Verification, Counter[Restored] | None]:
    async with connect_worker(place.redis) as redis:
        trail = AuditTrail(place.audit.directory, "cli")
        ledger = LedgerReader(redis, trail, patience_seconds=None, trusts_marks=False)
        report = await ledger.verify()
        if not report.is_sound and not despite_findings:
            return report, None
        spool = Spool.of(place.spool)
        async with running_trail(trail, redis):
            # Films whose payloads are there first: their sidecars say what the trail leaves out.
            reconciled = await reconcile(JobQueue(redis, patience_seconds=None), spool, ledger=ledger, is_start=True)
            ends = await ledger.restore_everything(report)
        ends[Restored.RESTORED] += reconciled.restored
        ends[Restored.KNOWN] -= reconciled.restored
        return report, ends


@app.command("accept-loss")
def accept_loss(
    files: Annotated[list[str], typer.Argument(help="Names of chains that `verify` misses.")],
    data_dir: DataDirectory = None,
) -> None:
    """Write into the trail that chains are lost, so that `verify` misses them no longer; not those that are there."""
    place = find_place(data_dir)
    there = [file for file in files if (place.audit.directory / file).exists()]
    if there:
        print(f"cxr-triage audit: still there: {', '.join(there)}", file=sys.stderr)
        raise typer.Exit(EXIT_FINDINGS)
    if unknown := asyncio.run(_accept_loss(place, files)):
        print(f"cxr-triage audit: missed by nobody: {', '.join(unknown)}", file=sys.stderr)
        raise typer.Exit(EXIT_FINDINGS)


async def _accept_loss(place: Place, files: list[str]) -> list[str]:
    """Accept the loss of all of them, or of none and return those that ``verify`` does not miss."""
    async with connect_worker(place.redis) as redis:
        trail = AuditTrail(place.audit.directory, "cli")
        report = await LedgerReader(redis, trail, patience_seconds=None).verify()
        missed = {finding.file for finding in report.findings if finding.damage is Damage.MISSING_FILE}
        if unknown := [file for file in files if file not in missed]:
            return unknown
        async with running_trail(trail, redis):
            for file in files:
                await retention.accept_loss(trail, Heads(redis), file)
    return []


def _print(report: Verification) -> None:
    for finding in report.findings:
        print(finding)
    for note in report.notes:
        print(f"note: {note}", file=sys.stderr)
    count = len(report.findings)
    verdict = "sound" if report.is_sound else f"{count} finding{'s' if count > 1 else ''}"
    print(f"{report.chains} chains, {report.entries} entries: {verdict}", file=sys.stderr)
