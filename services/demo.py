"""``cxr-triage demo``: a stack of its own, films drawn by the program, and what became of them.

Shows the whole walk on a machine that has no films: everything goes over HTTP, as it would from a PACS. The films are
drawings (``model.phantom``); a probability of one means nothing.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx
from rich.console import Console
from rich.table import Table

from services.phantoms import CT_STORAGE, phantom_dicom, phantom_png
from services.standalone.child import ChildFailed
from services.standalone.plan import StackOptions
from services.standalone.stack import Stack, first_of, running_stack
from services.submit.client import SubmitOptions, Submitted, submit_files

_SIZE: Final = 512
_READ_SECONDS: Final = 10.0
_WIDTH: Final = 140


@dataclass(frozen=True, kw_only=True)
class DemoFilm:
    """A generated file and the line that introduces it."""

    name: str
    what: str
    content: Callable[[], bytes]


def _png(seed: int, opacity: float = 0.0) -> bytes:
    return phantom_png(seed, rows=_SIZE, columns=_SIZE, opacity=opacity)


def _dicom(seed: int, *, is_inverted: bool = False, **attributes: Any) -> bytes:
    return phantom_dicom(seed, rows=_SIZE, columns=_SIZE, is_inverted=is_inverted, **attributes)


FILMS: Final = (
    DemoFilm(name="chest.png", what="PNG", content=lambda: _png(1)),
    DemoFilm(name="shadow.png", what="PNG with a shadow drawn into a lung", content=lambda: _png(2, opacity=1.0)),
    DemoFilm(name="monochrome2.dcm", what="DICOM MONOCHROME2", content=lambda: _dicom(3)),
    DemoFilm(name="monochrome1.dcm", what="DICOM MONOCHROME1", content=lambda: _dicom(4, is_inverted=True)),
    DemoFilm(name="hand.dcm", what="DICOM of a hand", content=lambda: _dicom(5, BodyPartExamined="HAND")),
    DemoFilm(name="slice.dcm", what="DICOM CT slice", content=lambda: _dicom(6, SOPClassUID=CT_STORAGE, Modality="CT")),
    DemoFilm(name="cut.png", what="PNG, second half missing", content=lambda: (whole := _png(7))[: len(whole) // 2]),
    DemoFilm(name="letter.txt", what="no film at all", content=lambda: b"Dear radiologist, please find enclosed\n"),
)


async def run(*, port: int | None, bundle: Path | None, is_once: bool, until: Callable[[Stack], asyncio.Event]) -> None:
    """Show the walk in a fresh data directory, which is removed at the end.

    ``until`` installs what ends the demonstration, and returns the event that it sets. Returns when the outcomes are
    printed (``is_once``), or when that event is set.

    Raises
    ------
    SettingsError, BundleError, ChildFailed
        If the stack cannot start.
    """
    console, started = Console(width=_WIDTH, highlight=False), time.monotonic()
    async with AsyncExitStack() as resources:
        data_dir = Path(resources.enter_context(tempfile.TemporaryDirectory(prefix="cxr-demo-")))
        log = data_dir / "stack.log"
        stack = await resources.enter_async_context(
            running_stack(StackOptions(data_dir=data_dir, port=port, bundle=bundle, log=log))
        )
        stop = until(stack)
        try:
            await first_of(stack.start(), stack.failed(), _set(stop))
        except ChildFailed as error:
            raise ChildFailed(f"{error}: {_last_line(log)}", has_spoken=False) from error
        if stop.is_set():
            return
        ready_seconds = time.monotonic() - started
        await first_of(_show(stack, data_dir / "films", console), stack.failed(), _set(stop))
        console.print(f"ready after {ready_seconds:.1f} s, outcomes after {time.monotonic() - started:.1f} s")
        if not is_once and not stop.is_set():
            _invite(console, stack.url, log)
            await first_of(stack.failed(), _set(stop))


async def _show(stack: Stack, folder: Path, console: Console) -> None:
    films = await asyncio.to_thread(_write_films, folder)
    ends = {end.path: end async for end in submit_files(films, SubmitOptions(url=stack.url))}
    console.print(f"{stack.url} · bundle {stack.model.name} {stack.model.version} · drawings, not patients\n")
    table = Table("film", "id", "outcome", "reason", "probability", "GET", box=None, pad_edge=False)
    async with httpx.AsyncClient(base_url=stack.url, trust_env=False, timeout=_READ_SECONDS) as client:
        for path, film in films.items():
            table.add_row(film.what, *await _row(client, ends[path]))
    console.print(table)


def _write_films(folder: Path) -> dict[Path, DemoFilm]:
    folder.mkdir()
    films = {folder / film.name: film for film in FILMS}
    for path, film in films.items():
        path.write_bytes(film.content())
    return films


async def _row(client: httpx.AsyncClient, end: Submitted) -> tuple[str, ...]:
    record = end.record
    if record is None:
        return "", end.delivery, end.code or "", "", ""
    status = (await client.get(record.links.self)).status_code
    probability = "" if record.probability is None else f"{record.probability:.4f}"
    return record.id, record.outcome or record.state, record.reason or "", probability, str(status)


def _invite(console: Console, url: str, log: Path) -> None:
    console.print(f"\nThe stack stays up (log: {log}); Ctrl-C stops it. Its page is {url}/\nPost a film of your own:\n")
    console.print(f"    curl -H 'Content-Type: image/png' --data-binary @film.png '{url}/v1/instances?wait=10'\n")


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").split("\n")
    return next((line for line in reversed(lines) if line.startswith("cxr-triage")), "its log says more")


async def _set(event: asyncio.Event) -> None:
    await event.wait()
