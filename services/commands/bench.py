"""``cxr-triage bench``: load on a running service, and how fast it was. Parses options; the engine is a room."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Final

import typer
import uvloop

from services.bench.arrivals import Arrivals
from services.bench.figures import Measured
from services.bench.films import CannotStamp, FilmKind, Template, drawn_films, films_of
from services.bench.load import Sample
from services.bench.machine import machine_facts
from services.bench.report import document, save, show, shown_progress
from services.bench.run import BenchOptions, NoService, measure
from services.bench.target import Follow, TargetOptions
from services.jobs.records import Priority
from services.submit.client import DEFAULT_URL, files_in, is_service_url

_EXIT_FAILED: Final = 1
_EXIT_WRONG_USAGE: Final = 2
_EXIT_INTERRUPTED: Final = 130


def bench(
    paths: Annotated[
        list[Path] | None, typer.Argument(help="Films, and folders of films; drawings where absent.", exists=True)
    ] = None,
    url: Annotated[str, typer.Option(envvar="TRIAGE_URL", help="The service.")] = DEFAULT_URL,
    key: Annotated[str | None, typer.Option(envvar="TRIAGE_API_KEY", help="API key.", show_envvar=True)] = None,
    kind: Annotated[FilmKind, typer.Option(help="What is drawn where no films are given.")] = FilmKind.PNG,
    rate: Annotated[
        float | None, typer.Option(min=0.01, help="Films a second, whatever the service does: an open loop.")
    ] = None,
    arrivals: Annotated[Arrivals, typer.Option(help="How the films of an open loop follow.")] = Arrivals.POISSON,
    concurrency: Annotated[int, typer.Option(min=1, max=512, help="Films at once, where no rate is given.")] = 8,
    seconds: Annotated[float, typer.Option(min=0.1, help="How long films are sent.")] = 30.0,
    films: Annotated[int | None, typer.Option(min=1, help="Send so many instead; not with --rate.")] = None,
    warm_up: Annotated[float, typer.Option(min=0, help="The first seconds, which do not count.")] = 3.0,
    follow: Annotated[Follow, typer.Option(help="How outcomes are asked for.")] = Follow.POLL,
    priority: Annotated[Priority, typer.Option(help="stat films are scored first.")] = Priority.ROUTINE,
    site: Annotated[str | None, typer.Option(help="The tenant the films belong to.")] = None,
    out: Annotated[Path | None, typer.Option(help="Save everything that was measured here, as JSON.")] = None,
) -> None:
    """Put load on a service and measure when films are taken and when they have their outcomes.

    Every film is told apart by a stamp in its bytes, gets a record and takes room in the spool until retention: not for
    a service that patients depend on. Ctrl-C ends a run early and keeps what was measured.

    Exits 0 when every film had an outcome, 1 when some had none or nothing answered, 2 for wrong usage, 130 after
    Ctrl-C.
    """
    if not is_service_url(url):
        raise _wrong("--url must be http:// or https:// and a host")
    if films is not None and rate is not None:
        raise _wrong("--films ends a closed loop; with --rate say --seconds")
    options = BenchOptions(
        url=url,
        key=key,
        rate=rate,
        arrivals=arrivals,
        concurrency=concurrency,
        seconds=seconds if films is None else None,
        films=films,
        warm_up_seconds=warm_up if films is None else 0.0,
        target=TargetOptions(follow=follow, priority=priority, site=site),
    )
    _run(options, _templates(paths, kind), out, sent=kind if not paths else f"{len(paths)} paths")


def _run(options: BenchOptions, templates: list[Template], out: Path | None, *, sent: str) -> None:
    started, ended = machine_facts(), list[Sample]()
    with shown_progress(seconds=options.seconds, films=options.films) as on_sample:

        def note(sample: Sample) -> None:
            ended.append(sample)
            on_sample(sample)

        try:
            measured, is_whole = uvloop.run(measure(options, templates, note)), True
        except NoService as error:
            print(f"cxr-triage bench: {error}", file=sys.stderr)
            raise typer.Exit(_EXIT_FAILED) from error
        except KeyboardInterrupt:
            measured, is_whole = Measured.of_some(ended, warm_up_seconds=options.warm_up_seconds), False
    show(measured)
    if out is not None:
        load = options.described() | {"films_sent": sent, "is_whole": is_whole}
        save(out, document(measured, load=load, started=started))
    if not is_whole:
        print("cxr-triage bench: interrupted; films on their way then are not counted", file=sys.stderr)
        raise typer.Exit(_EXIT_INTERRUPTED)
    if measured.failed or not measured.sent:
        raise typer.Exit(_EXIT_FAILED)


def _templates(paths: list[Path] | None, kind: FilmKind) -> list[Template]:
    if not paths:
        return drawn_films(kind)
    try:
        found = films_of(list(files_in(paths)))
    except (CannotStamp, OSError) as error:
        raise _wrong(str(error)) from error
    if not found:
        raise _wrong("no films there")
    return found


def _wrong(message: str) -> typer.Exit:
    print(f"cxr-triage bench: {message}", file=sys.stderr)
    return typer.Exit(_EXIT_WRONG_USAGE)
