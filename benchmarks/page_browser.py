"""The page in Debian's Chromium: what it loads, when it is painted, and whether 10,000 studies scroll.

Each start is cold: a context of its own, with nothing in its cache. Bytes are those of the wire, headers included, as
the browser's own protocol counts them. Knows the page's table by its id, and no more of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

import psutil

from tests.browser.watched import open_browser

_SIZE: Final = {"width": 1280, "height": 900}
_WAIT_MS: Final = 120_000
# What the page fetches as data; the rest is the page itself.
_DATA: Final = ("/v1/",)
# Later than the page needs to fetch what it may need later.
_SETTLE_MS: Final = 6_000
_STEP_PX: Final = 400
_STEP_MS: Final = 40
_STEPS_BETWEEN_JUMPS: Final = 20
# Runs before the page: when its first row is there, how many rows there ever are, which tasks are long.
_WATCH: Final = """() => {
  window.seen = { rowsMs: null, mostRows: 0, tasks: [], frames: 0 };
  new PerformanceObserver((list) => {
    for (const task of list.getEntries()) window.seen.tasks.push([task.startTime, task.duration]);
  }).observe({ type: "longtask", buffered: true });
  const look = () => {
    const rows = document.getElementsByTagName("tr").length;
    window.seen.frames += 1;
    window.seen.mostRows = Math.max(window.seen.mostRows, rows);
    if (window.seen.rowsMs === null && rows > 5) window.seen.rowsMs = performance.now();
    requestAnimationFrame(look);
  };
  requestAnimationFrame(look);
}"""
_PAINTS: Final = "() => performance.getEntriesByType('paint').map((paint) => [paint.name, paint.startTime])"
_FORGET: Final = "() => Object.assign(window.seen, { mostRows: 0, tasks: [], frames: 0, began: performance.now() })"
_SCROLLER: Final = """() => {
  let at = document.querySelector("#worklist");
  while (at !== null && at.scrollHeight <= at.clientHeight + 1) at = at.parentElement;
  return at ?? document.scrollingElement;
}"""
_IS_FULL: Final = f"(height) => ({_SCROLLER})().scrollHeight > height"
_JUMP: Final = f"(share) => {{ const at = ({_SCROLLER})(); at.scrollTop = share * at.scrollHeight; }}"
_LOWEST_ROW_PX: Final = 20  # no row of a list that people read is lower


@dataclass(frozen=True, kw_only=True)
class Start:
    """A cold start, in milliseconds from when the address was opened; ``files`` and ``data`` are bytes by path.

    ``files`` are those that were there when the first rows were; ``later`` those that came after.
    """

    first_paint_ms: float
    rows_ms: float
    files: Mapping[str, int]
    later: Mapping[str, int]
    data_bytes: int


@dataclass(frozen=True, kw_only=True)
class Scrolled:
    """What happened while the list was scrolled: the most rows in the document, and tasks over 50 ms, in ms.

    ``stolen_seconds`` is the processor time that the machine's host gave to others meanwhile, of all cores: tasks are
    timed by the clock, so what stops the browser makes its tasks long.
    """

    seconds: float
    most_rows: int
    long_tasks_ms: tuple[float, ...]
    frames: int
    stolen_seconds: float


@contextmanager
def opened(executable: str) -> Iterator[Any]:
    """Run a browser for the block."""
    with open_browser(executable) as browser:
        yield browser


@contextmanager
def _page(browser: Any, url: str, cookie: str) -> Iterator[tuple[Any, dict[str, int]]]:
    """Open a page that has nothing yet, not even its address; with it come the bytes of each path that it loads."""
    context = browser.new_context(viewport=_SIZE, locale="en-GB")
    try:
        context.set_default_timeout(_WAIT_MS)
        name, _, value = cookie.partition("=")
        context.add_cookies([{"name": name, "value": value, "url": url}])
        page = context.new_page()
        page.add_init_script(f"({_WATCH})()")
        yield page, _counted(context.new_cdp_session(page))
    finally:
        context.close()


def _counted(session: Any) -> dict[str, int]:
    """Return a table that fills with the bytes of each path."""
    paths: dict[str, str] = {}
    loaded: dict[str, int] = {}

    def answered(event: Mapping[str, Any]) -> None:
        paths[event["requestId"]] = urlsplit(event["response"]["url"]).path

    def ended(event: Mapping[str, Any]) -> None:
        path = paths.get(event["requestId"], "")
        loaded[path] = loaded.get(path, 0) + int(event["encodedDataLength"])

    session.on("Network.responseReceived", answered)
    session.on("Network.loadingFinished", ended)
    session.send("Network.enable")
    return loaded


def start(browser: Any, url: str, cookie: str) -> Start:
    """Open the page cold."""
    with _page(browser, url, cookie) as (page, loaded):
        page.goto(url)
        page.wait_for_function("() => window.seen.rowsMs !== null")
        at_rows = dict(loaded)
        paints = dict(page.evaluate(_PAINTS))
        rows_ms = page.evaluate("() => window.seen.rowsMs")
        page.wait_for_timeout(_SETTLE_MS)
        files, data = parted(at_rows)
        later = {path: size for path, size in parted(loaded)[0].items() if path not in files}
    return Start(
        first_paint_ms=paints["first-contentful-paint"],
        rows_ms=rows_ms,
        files=files,
        later=later,
        data_bytes=sum(data.values()),
    )


def parted(loaded: Mapping[str, int]) -> tuple[dict[str, int], dict[str, int]]:
    """Return the page's own files, and its data."""
    files = {path: size for path, size in loaded.items() if not path.startswith(_DATA)}
    return files, {path: size for path, size in loaded.items() if path not in files}


@contextmanager
def full_list(browser: Any, url: str, cookie: str, *, studies: int) -> Iterator[Any]:
    """Have a page open that knows so many studies."""
    with _page(browser, url, cookie) as (page, _):
        page.goto(url)
        page.wait_for_function(_IS_FULL, arg=studies * _LOWEST_ROW_PX)
        yield page


def scroll(page: Any, *, seconds: float) -> Scrolled:
    """Turn the wheel for so long, down and up; now and then jump, as who drags the bar does."""
    page.locator("#worklist").hover(position={"x": 200, "y": 200})
    page.evaluate(_FORGET)
    steps, stolen = int(1000 * seconds / _STEP_MS), psutil.cpu_times().steal
    for step in range(steps):
        if step % _STEPS_BETWEEN_JUMPS == 0:
            # A share that comes near every place without following any order.
            page.evaluate(_JUMP, step * 0.618 % 1.0)
        page.mouse.wheel(0, _STEP_PX if step % 200 < 150 else -_STEP_PX)
        page.wait_for_timeout(_STEP_MS)
    seen = page.evaluate("() => ({ ...window.seen, lasted: performance.now() - window.seen.began })")
    return Scrolled(
        seconds=seen["lasted"] / 1000,
        most_rows=seen["mostRows"],
        long_tasks_ms=tuple(round(duration, 1) for began, duration in seen["tasks"] if began >= seen["began"]),
        frames=seen["frames"],
        stolen_seconds=psutil.cpu_times().steal - stolen,
    )
