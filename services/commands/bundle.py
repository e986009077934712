"""``cxr-triage bundle``: verify, list, activate, go back, remove. Parses options, prints, keeps the audit trail.

Exit codes: 0 done, for activate and rollback active everywhere; 1 refused, and the bundle before serves on; 2 cannot
start as configured.
"""

from __future__ import annotations

import asyncio
import importlib.util
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Annotated, Final, NoReturn

import typer

from model.bundle import Bundle, read_bundle
from model.errors import BundleCorrupt, BundleError, ModelError
from services.commands.activating import ActivationFailed, Attempt, activate_everywhere
from services.commands.place import DataDirectory, Place, find_place, who_runs_this
from services.jobs.activation import Activation, BundleActivation
from services.jobs.bundle_store import BundleStore
from services.jobs.connection import connect_gateway
from services.jobs.errors import ActivationConflict, BundleInUse, PoliciesMissing, QueueUnavailable
from services.jobs.ledger.entries import AuditEvent
from services.jobs.ledger.trail import AuditTrail, open_trail
from services.jobs.operating_tables import OperatingTable, OperatingTables, table_of
from services.jobs.queue import JobQueue
from services.jobs.settings import SettingsError
from services.jobs.status import WorkerStatus

app = typer.Typer(help="Bundles: verify, list, activate, go back, remove.", no_args_is_help=True)

EXIT_REFUSED: Final = 1
_STORE_UNAVAILABLE: Final = "store_unavailable"
_DIGEST: Final = re.compile("[0-9a-f]{6,64}")
_DEFAULT_TIMEOUT: Final = 120.0

Timeout = Annotated[
    float, typer.Option("--timeout", min=1, max=3600, help="Seconds that workers may take to prepare, and to switch.")
]
AdoptDefaultPoints = Annotated[
    bool,
    typer.Option(
        "--adopt-default-points",
        help="Sites that chose a policy, but none for this bundle, decide by its default point from now on.",
    ),
]
Digest = Annotated[str, typer.Argument(help="The bundle's digest, or how it begins.")]


@app.command()
def verify(directory: Annotated[Path, typer.Argument(help="A bundle's directory.")]) -> None:
    """Check a bundle: every file against its manifest, and its golden inputs where onnxruntime is installed."""
    try:
        bundle = read_bundle(directory)
        print(f"{bundle.manifest.name} {bundle.manifest.version}  {bundle.digest}")
        for name, digest in sorted(bundle.manifest.files.items()):
            print(f"  {name}  {digest}")
        is_scored = _score_golden(bundle)
    except ModelError as error:
        _refuse(error.code, str(error))
    golden = f"{len(bundle.manifest.golden_probabilities)} golden inputs"
    print(f"  {golden} score as they should" if is_scored else f"  {golden} not scored: onnxruntime is not installed")


@app.command("list")
def list_bundles(data_dir: DataDirectory = None) -> None:
    """List the stored bundles, and which of them is active, served, a candidate, or the one to go back to."""
    place = find_place(data_dir, needs_redis=False)
    try:
        state, workers = asyncio.run(_look(find_place(data_dir)))
    except (QueueUnavailable, SettingsError):
        state, workers = Activation(), []
        print("no Redis answers: which bundle is active is unknown", file=sys.stderr)
    try:
        stored = {one.digest: one for one in BundleStore(place.bundle_store).bundles()}
    except OSError as error:
        _refuse(_STORE_UNAVAILABLE, str(error))
    served = {worker.model.digest: f"{worker.model.name} {worker.model.version}" for worker in workers}
    elsewhere = {digest for digest in (state.active, state.previous, *served) if digest is not None} - set(stored)
    for digest, one in stored.items():
        what = f"{one.name} {one.version}" if one.name else "cannot be read"
        print(f"{digest}  {what}  {one.size_bytes / 1e6:.1f} MB  {_standing(digest, state, workers)}".rstrip())
    for digest in sorted(elsewhere):
        print(f"{digest}  {served.get(digest, '')}  not stored  {_standing(digest, state, workers)}".rstrip())
    if state.refusal is not None:
        print(f"last refused: {state.refusal.digest[:12]} ({state.refusal.code}), proposed by {state.refusal.by}")


@app.command()
def activate(
    bundle: Annotated[str, typer.Argument(help="A bundle's directory, or the digest of a stored one.")],
    timeout: Timeout = _DEFAULT_TIMEOUT,
    adopt_default_points: AdoptDefaultPoints = False,
    data_dir: DataDirectory = None,
) -> None:
    """Have every worker score with a bundle, without a pause: all prepare it first, and then all switch.

    Refused while a site that chose a policy has none for this bundle; from then on one can be chosen for it.

    Exits 0 when it is active everywhere, 1 when it was refused or time ran out: the bundle before is active then.
    """
    place = find_place(data_dir)
    with open_trail(place.audit, "cli") as trail:
        chosen: Bundle | None = None
        try:
            chosen = _read(bundle, BundleStore(place.bundle_store))
            is_tried = _score_golden(chosen)
            _keep(bundle, chosen, BundleStore(place.bundle_store))
        except (ModelError, OSError) as error:
            code = error.code if isinstance(error, ModelError) else _STORE_UNAVAILABLE
            digest = None if chosen is None else chosen.digest
            trail.note(AuditEvent.BUNDLE_REFUSED, is_success=False, who=who_runs_this(), code=code, digest=digest)
            _refuse(code, str(error))
        print(f"{chosen.manifest.name} {chosen.manifest.version}  {chosen.digest}")
        table = table_of(chosen)
        attempt = Attempt(digest=chosen.digest, table=table, is_tried=is_tried, adopts=adopt_default_points)
        _activate(place, attempt, seconds=timeout, trail=trail)


@app.command()
def rollback(
    timeout: Timeout = _DEFAULT_TIMEOUT,
    adopt_default_points: AdoptDefaultPoints = False,
    data_dir: DataDirectory = None,
) -> None:
    """Activate the bundle that was active before this one. A second rollback returns to this one."""
    place = find_place(data_dir)
    state, _ = asyncio.run(_look(place))
    if state.previous is None:
        _refuse("nothing_before", "no bundle was active before this one")
    with open_trail(place.audit, "cli") as trail:
        table = _table_of_stored(state.previous, BundleStore(place.bundle_store))
        attempt = Attempt(digest=state.previous, table=table, is_tried=True, adopts=adopt_default_points)
        _activate(place, attempt, seconds=timeout, trail=trail)


@app.command()
def remove(digest: Digest, data_dir: DataDirectory = None) -> None:
    """Delete a stored bundle that is neither active, served, a candidate, nor the one to go back to."""
    place = find_place(data_dir)
    store = BundleStore(place.bundle_store)
    state, workers = asyncio.run(_look(place))
    candidate = None if state.candidate is None else state.candidate.digest
    needed = {state.active, state.previous, candidate, *(worker.model.digest for worker in workers)}
    try:
        found = store.find(digest)
        store.remove(found, in_use=frozenset(one for one in needed if one is not None))
        asyncio.run(_forget_table(place, found))
    except (BundleError, BundleInUse, OSError) as error:
        _refuse(_STORE_UNAVAILABLE if isinstance(error, OSError) else error.code, str(error))
    print(f"{found} removed")


def _activate(place: Place, attempt: Attempt, *, seconds: float, trail: AuditTrail) -> None:
    digest = attempt.digest
    try:
        asyncio.run(activate_everywhere(place, attempt, seconds=seconds, trail=trail))
    except KeyboardInterrupt:
        trail.note(AuditEvent.BUNDLE_REFUSED, is_success=False, who=who_runs_this(), code="interrupted", digest=digest)
        raise
    except (ActivationFailed, ActivationConflict, PoliciesMissing, QueueUnavailable) as error:
        code = error.refusal if isinstance(error, ActivationFailed) else error.code
        is_active = isinstance(error, ActivationFailed) and error.is_active
        event = AuditEvent.BUNDLE_ACTIVATED if is_active else AuditEvent.BUNDLE_REFUSED
        trail.note(event, is_success=is_active, who=who_runs_this(), code=code, digest=digest)
        _refuse(error.code, str(error))
    trail.note(AuditEvent.BUNDLE_ACTIVATED, who=who_runs_this(), digest=digest)


async def _forget_table(place: Place, digest: str) -> None:
    async with connect_gateway(place.redis) as client:
        await OperatingTables(client).forget(digest)


async def _look(place: Place) -> tuple[Activation, list[WorkerStatus]]:
    async with _connected(place) as (activation, queue):
        return await activation.read(), await queue.workers()


@asynccontextmanager
async def _connected(place: Place) -> AsyncIterator[tuple[BundleActivation, JobQueue]]:
    async with connect_gateway(place.redis) as client:
        yield BundleActivation(client), JobQueue(client)


def _is_stored(bundle: str) -> bool:
    return _DIGEST.fullmatch(bundle) is not None and not Path(bundle).is_dir()


def _read(bundle: str, store: BundleStore) -> Bundle:
    return store.get(store.find(bundle)) if _is_stored(bundle) else read_bundle(Path(bundle))


def _table_of_stored(digest: str, store: BundleStore) -> OperatingTable | None:
    """Return a table that Redis may have lost; ``None`` of a bundle that workers have, and the store has not."""
    with suppress(BundleError, OSError):
        return table_of(store.get(digest))
    return None


def _keep(bundle: str, checked: Bundle, store: BundleStore) -> None:
    if not _is_stored(bundle) and store.put(Path(bundle)).digest != checked.digest:
        raise BundleCorrupt(f"{bundle} changed while it was checked")


def _score_golden(bundle: Bundle) -> bool:
    """Score the golden inputs here; return whether that was possible. Raises ``ModelError`` where they differ.

    Also what protects the workers from a graph that ends the process that loads it: it ends this one.
    """
    if importlib.util.find_spec("onnxruntime") is None:
        return False
    from model.runtime import Provider, Scorer

    Scorer(bundle, provider=Provider.CPU).verify_golden()
    return True


def _standing(digest: str, state: Activation, workers: list[WorkerStatus]) -> str:
    served = sum(worker.model.digest == digest for worker in workers)
    standings = {
        "active": digest == state.active,
        "candidate": state.candidate is not None and digest == state.candidate.digest,
        "previous": digest == state.previous,
        f"served by {served}": served > 0,
    }
    return ", ".join(name for name, applies in standings.items() if applies)


def _refuse(code: str, message: str) -> NoReturn:
    print(f"cxr-triage bundle: {code}: {message}", file=sys.stderr)
    raise typer.Exit(EXIT_REFUSED)
