"""``cxr-triage``: the commands. Parses options, prints, and turns errors into exit codes; the work is elsewhere.

Exit codes: 0 done; 1 something failed or could not be delivered; 2 cannot start as configured, or wrong usage;
3 every file was delivered, but the service refused some; 130 interrupted.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Final

import typer

from model.errors import BundleError
from services.commands import audit, dead, delivery, keys, secrets
from services.commands import bench as benchmark
from services.commands import bundle as bundles
from services.jobs.errors import JobsError
from services.jobs.logs import configure_logging
from services.jobs.records import ModelReference, Priority
from services.standalone.child import ChildFailed
from services.standalone.plan import StackOptions
from services.standalone.stack import Stack, first_of, running_stack
from services.submit.client import (
    DEFAULT_IN_FLIGHT,
    DEFAULT_PATIENCE_SECONDS,
    DEFAULT_URL,
    CredentialRefused,
    Delivery,
    SubmitOptions,
    files_in,
    is_service_url,
    submit_files,
)
from services.submit.report import Report

EXIT_FAILED: Final = 1
EXIT_CANNOT_START: Final = 2
EXIT_REFUSED: Final = 3
EXIT_INTERRUPTED: Final = 130

app = typer.Typer(
    name="cxr-triage",
    help="Chest X-ray triage: films in, decisions out. Research use only; not a medical device.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.add_typer(audit.app, name="audit")
app.add_typer(keys.app, name="key")
app.add_typer(secrets.app, name="secrets")
app.add_typer(dead.app, name="dead")
app.add_typer(bundles.app, name="bundle")
app.add_typer(delivery.app, name="delivery")
app.command("bench")(benchmark.bench)

DataDirectory = Annotated[Path, typer.Option("--data-dir", help="Where records and payloads are kept.")]
Port = Annotated[
    int | None,
    typer.Option("--port", min=0, max=65535, help="HTTP port; 0 takes a free one. Default: CXR_API_PORT, else 8080."),
]
Workers = Annotated[int, typer.Option("--workers", min=1, max=64, help="Worker processes.")]
HasDimse = Annotated[bool, typer.Option("--dimse", help="Take films by C-STORE, too (CXR_DIMSE_*).")]
HasDelivery = Annotated[bool, typer.Option("--deliver", help="Deliver results (CXR_DELIVERY_*).")]
BundleDirectory = Annotated[
    Path | None, typer.Option("--bundle", help="Bundle to serve. Default: CXR_WORKER_BUNDLE, else the one that ships.")
]


def main() -> None:
    """Run the command line; the only place where an error becomes an exit code."""
    try:
        app()
    except (JobsError, BundleError) as error:
        if not (isinstance(error, ChildFailed) and error.has_spoken):
            print(f"cxr-triage: {error.code}: {error}", file=sys.stderr)
        sys.exit(EXIT_CANNOT_START)
    except KeyboardInterrupt:
        sys.exit(EXIT_INTERRUPTED)


def _print_version(is_wanted: bool) -> None:
    if is_wanted:
        print(f"cxr-triage {version('cxr-triage')}")
        raise typer.Exit


@app.callback()
def _options(
    is_version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Options of the program itself."""


@app.command()
def up(
    data_dir: DataDirectory = Path("cxr-data"),
    port: Port = None,
    workers: Workers = 1,
    bundle: BundleDirectory = None,
    has_dimse: HasDimse = False,
    has_delivery: HasDelivery = False,
) -> None:
    """Start the whole stack on this machine: a private Redis, the gateway and workers. Ctrl-C stops it."""
    configure_logging("text", "up")
    logging.getLogger("httpx").setLevel(logging.WARNING)  # it logs every probe
    options = StackOptions(
        data_dir=data_dir, port=port, workers=workers, bundle=bundle, has_dimse=has_dimse, has_delivery=has_delivery
    )
    asyncio.run(_up(options))


async def _up(options: StackOptions) -> None:
    async with running_stack(options) as stack:
        stop = _stop_on_signals(stack)
        await first_of(stack.start(), stack.failed(), _until(stop))
        if stop.is_set():
            return
        if stack.overruled is not None:
            _warn_of_overruled(stack.overruled, stack.model, options.data_dir)
        served = f"bundle {stack.model.name} {stack.model.version}"
        print(f"ready: {stack.url} · {served} · data in {options.data_dir} · Ctrl-C stops", flush=True)
        await first_of(stack.failed(), _until(stop))


def _warn_of_overruled(bundle: Path, served: ModelReference, data_dir: Path) -> None:
    active = f"{served.name} {served.version} ({served.digest[:12]})"
    how = f"`cxr-triage bundle activate {bundle} --data-dir {data_dir}`"
    print(
        f"cxr-triage up: warning: {bundle} does not serve, {active} was activated; to change that: {how}",
        file=sys.stderr,
    )


def _stop_on_signals(stack: Stack) -> asyncio.Event:
    """Return an event that Ctrl-C and SIGTERM set; a second one makes the stop quick."""
    stop = asyncio.Event()

    def on_signal() -> None:
        if stop.is_set():
            stack.hurry()
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, on_signal)
    return stop


async def _until(event: asyncio.Event) -> None:
    await event.wait()


@app.command()
def api() -> None:
    """Run one gateway, configured by CXR_* variables (docs/settings.md)."""
    from services.api.__main__ import main as run

    raise typer.Exit(run([]))


@app.command()
def worker() -> None:
    """Run one worker, configured by CXR_* variables (docs/settings.md)."""
    # Imported here: it loads onnxruntime, which no other command needs, and which an installation may lack.
    from services.worker.__main__ import main as run

    raise typer.Exit(run())


@app.command()
def dimse() -> None:
    """Run one DIMSE listener (C-STORE), configured by CXR_* variables (docs/settings.md)."""
    from services.dimse.__main__ import main as run

    raise typer.Exit(run())


@app.command()
def deliver() -> None:
    """Deliver results to the targets of CXR_DELIVERY_TARGETS_FILE (docs/integration.md)."""
    from services.delivery.__main__ import main as run

    raise typer.Exit(run())


@app.command()
def submit(
    paths: Annotated[list[Path], typer.Argument(help="Films, and folders of films.", exists=True)],
    url: Annotated[str, typer.Option(envvar="TRIAGE_URL", help="The service.")] = DEFAULT_URL,
    key: Annotated[str | None, typer.Option(envvar="TRIAGE_API_KEY", help="API key.", show_envvar=True)] = None,
    priority: Annotated[Priority, typer.Option(help="stat films are scored first.")] = Priority.ROUTINE,
    site: Annotated[str | None, typer.Option(help="The tenant the films belong to.")] = None,
    in_flight: Annotated[int, typer.Option(min=1, max=256, help="Films on their way at once.")] = DEFAULT_IN_FLIGHT,
    patience: Annotated[
        float, typer.Option(min=0, help="Seconds after which a film without an outcome is given up.")
    ] = DEFAULT_PATIENCE_SECONDS,
    is_json: Annotated[bool, typer.Option("--json", help="One JSON object a line instead of a table.")] = False,
) -> None:
    """Send films to a service and wait for their outcomes.

    Exits 0 when every file has its outcome (not_assessed is one), 3 when the service refused some (4xx), 1 when some
    could not be delivered or have no outcome yet, 2 when the key is not accepted or the URL is none.
    """
    if not is_service_url(url):
        print("cxr-triage submit: --url must be http:// or https:// and a host", file=sys.stderr)
        raise typer.Exit(EXIT_CANNOT_START)
    options = SubmitOptions(
        url=url, key=key, priority=priority, site=site, in_flight=in_flight, patience_seconds=patience
    )
    raise typer.Exit(asyncio.run(_submit(list(files_in(paths)), options, is_json=is_json)))


async def _submit(files: list[Path], options: SubmitOptions, *, is_json: bool) -> int:
    report = Report(total=len(files), is_json=is_json)
    try:
        with report:
            async for end in submit_files(files, options):
                report.add(end)
    except CredentialRefused as error:
        print(f"cxr-triage submit: {options.url} refuses the key: {error}", file=sys.stderr)
        return EXIT_CANNOT_START
    finally:
        report.close()
    if report.has(Delivery.FAILED):
        return EXIT_FAILED
    return EXIT_REFUSED if report.has(Delivery.REFUSED) else 0


@app.command()
def demo(
    is_once: Annotated[bool, typer.Option("--once", help="Stop after the outcomes are printed.")] = False,
    port: Port = None,
    bundle: BundleDirectory = None,
) -> None:
    """Start a stack of its own, send it generated films, print what became of them, and stay up."""
    # Imported here: it brings pydicom and every codec, which would slow down all other commands.
    from services import demo as demonstration

    asyncio.run(demonstration.run(port=port, bundle=bundle, is_once=is_once, until=_stop_on_signals))


if __name__ == "__main__":
    main()
