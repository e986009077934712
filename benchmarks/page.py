"""The worklist's page: what it loads, when it is painted, how 10,000 studies scroll, what a crowd that polls costs.

``python -m benchmarks.page [--quick]``: Redis with 10,000 studies, a gateway and no worker; Debian's Chromium for what
a reader sees, and a process of 1,000 pages without a browser for what the gateway spends. All on one machine, over
loopback: a network adds its own time to a first paint, and nothing to the rest.
"""

from __future__ import annotations

import importlib.util
import shutil
import statistics
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import httpx

from benchmarks.family import run_part
from benchmarks.machine import machine_facts
from benchmarks.page_browser import Scrolled, Start, full_list, opened, scroll, start
from benchmarks.page_polling import (
    CLIENTS,
    EVERY_SECONDS,
    Polled,
    SignedIn,
    expected_unchanged,
    idle_share,
    polled,
    send_films,
)
from benchmarks.results import PartOptions, Row, part_options, write_part
from services.api.page import read_page
from services.api.scopes import Role
from tests.support.access import make_key
from tests.support.many_studies import WorklistRig, worklist_rig
from tests.support.redis_server import redis_binaries

_STUDIES: Final = 10_000
_PAGE_STUDIES: Final = 500  # live.js
_FIRST_PAINT_MS: Final = 1_000.0
_PAGE_KB: Final = 200.0
_ROW_NODES: Final = 300.0
_TASK_MS: Final = 50.0
_CORE_PERCENT: Final = 10.0
_UNCHANGED_PERCENT: Final = 90.0
_STARTS, _QUICK_STARTS = 7, 3
_SCROLL_SECONDS, _QUICK_SCROLL_SECONDS = 30.0, 8.0
_POLL_SECONDS, _QUICK_POLL_SECONDS = 60.0, 20.0
_IDLE_SECONDS, _QUICK_IDLE_SECONDS = 20.0, 8.0
# Films that come in while pages poll: a quiet hospital's, and a busy one's.
_CHANGES: Final = (60.0, 10.0)
_QUICK_CHANGES: Final = (10.0,)
_SCROLL_CHANGE_SECONDS: Final = 2.0
_ON_TIME_SHARE: Final = 0.9
# Nothing that waits becomes overdue while something is measured: that, too, changes the worklist.
_NEVER_OVERDUE: Final = {"api_overdue_stat_seconds": 86_400, "api_overdue_routine_seconds": 86_400}
_NO_BROWSER: Final = "no chromium or no playwright on this machine"


@contextmanager
def _installation(options: PartOptions) -> Iterator[tuple[WorklistRig, SignedIn]]:
    """Run gateway and Redis for the block, with a reader who has signed in."""
    # A unix socket's path may have 107 bytes, and the results may lie anywhere.
    with tempfile.TemporaryDirectory(prefix="cxr-page-") as folder:
        place, quotas = Path(folder), {"api_upload_rate_per_key": 100.0, "api_upload_burst_per_key": 1_000}
        key = make_key(place / "keys", Role.READ, Role.SUBMIT)
        settings: dict[str, Any] = (
            {"api_keys_file": place / "keys", "api_secure_cookie": "false"} | _NEVER_OVERDUE | quotas
        )
        binary = next(iter(redis_binaries().values()))
        with worklist_rig(place, binary, count=_STUDIES, **settings) as rig:
            with httpx.Client(base_url=rig.url, trust_env=False) as client:
                answer = client.post("/v1/session", json={"key": key}, headers={"Origin": rig.url})
                answer.raise_for_status()
            yield rig, SignedIn(cookie=answer.headers["set-cookie"].partition(";")[0], key=key)


def polling_path(now: datetime) -> str:
    """Return what a page without an event stream asks every few seconds: the last day, to the hour (live.js)."""
    since = now.replace(minute=0, second=0, microsecond=0) - timedelta(days=1)
    return f"/v1/studies?limit={_PAGE_STUDIES}&since={since:%Y-%m-%dT%H}%3A00%3A00.000Z"


def in_the_browser(rig: WorklistRig, who: SignedIn, options: PartOptions) -> tuple[list[Start], list[Scrolled]] | None:
    """Return cold starts, and the list scrolled without changes and with films that come in; ``None`` without one."""
    executable = shutil.which("chromium")
    if executable is None or importlib.util.find_spec("playwright") is None:
        return None
    seconds = _QUICK_SCROLL_SECONDS if options.is_quick else _SCROLL_SECONDS
    with opened(executable) as browser:
        starts = [start(browser, rig.url, who.cookie) for _ in range(_QUICK_STARTS if options.is_quick else _STARTS)]
        # A few may be from more than a day ago by now.
        with full_list(browser, rig.url, who.cookie, studies=_STUDIES * 99 // 100) as page:
            scrolled = [scroll(page, seconds=seconds)]
            sending = {"seconds": seconds, "every_seconds": _SCROLL_CHANGE_SECONDS}
            films = threading.Thread(target=send_films, args=(rig, who), kwargs=sending, daemon=True)
            films.start()
            scrolled.append(scroll(page, seconds=seconds))
            films.join()
    return starts, scrolled


def crowds(rig: WorklistRig, who: SignedIn, options: PartOptions) -> list[Polled]:
    """Return what polling costs while nothing changes, and while films come in."""
    idle = idle_share(rig, seconds=_QUICK_IDLE_SECONDS if options.is_quick else _IDLE_SECONDS)
    seconds = _QUICK_POLL_SECONDS if options.is_quick else _POLL_SECONDS
    path = polling_path(datetime.now(UTC))
    cases = (None, *(_QUICK_CHANGES if options.is_quick else _CHANGES))
    return [polled(rig, who, path, seconds=seconds, idle=idle, change_seconds=change) for change in cases]


def start_rows(starts: Sequence[Start]) -> list[Row]:
    """Return the first paint and what was loaded for it; of several starts the one in the middle."""
    paints = sorted(each.first_paint_ms for each in starts)
    rows = [
        Row.at_most(
            "first paint, cold",
            goal=_FIRST_PAINT_MS,
            measured=statistics.median(paints),
            unit="ms",
            note=f"the middle of {len(paints)} starts, {paints[0]:.0f} to {paints[-1]:.0f}; {_STUDIES:,} studies",
        ),
        Row.told("first rows of the worklist, cold", measured=statistics.median(_rows_ms(starts)), unit="ms"),
    ]
    last, plain = starts[-1], [len(file.content) for file in read_page().values()]
    loaded, whole = sum(last.files.values()), sum(last.files.values()) + sum(last.later.values())
    return [
        *rows,
        Row.told(
            "files of the worklist, on the wire",
            measured=loaded / 1000,
            unit="kB",
            note=f"{len(last.files)} files, cold",
        ),
        Row.at_most(
            "files of the page in all, on the wire",
            goal=_PAGE_KB,
            measured=whole / 1000,
            unit="kB",
            note=f"{len(last.files) + len(last.later)} files with their headers, those that other views need later too",
        ),
        Row.told(
            "files of the page in all, uncompressed", measured=sum(plain) / 1000, unit="kB", note=f"{len(plain)} files"
        ),
        Row.told(
            "data of a cold start",
            measured=last.data_bytes / 1000,
            unit="kB",
            note="within the first seconds; uncompressed",
        ),
    ]


def _rows_ms(starts: Sequence[Start]) -> list[float]:
    return [each.rows_ms for each in starts]


def scroll_rows(scrolled: Sequence[Scrolled]) -> list[Row]:
    """Return row nodes and the longest task, without changes and while films come in."""
    rows = []
    for each, told in zip(scrolled, ("", f", a film every {_SCROLL_CHANGE_SECONDS:.0f} s"), strict=True):
        tasks = each.long_tasks_ms
        note = f"{each.seconds:.0f} s of wheel and jumps, {each.frames / each.seconds:.0f} frames a second"
        name = f"row nodes while {_STUDIES:,} studies scroll{told}"
        rows.append(Row.at_most(name, goal=_ROW_NODES, measured=each.most_rows, unit="nodes", note=note))
        name = f"longest task while {_STUDIES:,} studies scroll{told}"
        told_of = f"{len(tasks)} tasks over {_TASK_MS:.0f} ms" if tasks else f"none over {_TASK_MS:.0f} ms"
        told_of += f"; the host took {each.stolen_seconds:.1f} s of processor time meanwhile"
        # The browser reports no task that is shorter.
        rows.append(Row.at_most(name, goal=_TASK_MS, measured=max(tasks, default=_TASK_MS), unit="ms", note=told_of))
    return rows


def polling_rows(found: Sequence[Polled]) -> list[Row]:
    """Return cost and share of 304 of each crowd; only an unchanged worklist can answer 304 to nearly everybody."""
    rows = []
    for each in found:
        change = each.change_seconds
        told = "worklist unchanged" if change is None else f"a film every {change:.0f} s"
        name = f"{each.clients:,} pages polling every {EVERY_SECONDS:.0f} s, {told}"
        note = f"{each.ms_per_poll:.2f} ms a poll, {each.polls / each.seconds:.0f} polls a second; "
        note += f"idle {100 * each.idle:.1f} % taken off; Redis {100 * each.redis:.1f} %; p99 {each.p99_ms:.0f} ms"
        if each.polls < _ON_TIME_SHARE * each.clients * each.seconds / EVERY_SECONDS:
            note += "; the machine was too busy for polls on time: neither cost nor share is that of the goal"
        cost, unchanged = 100 * each.gateway, 100 * each.unchanged_share
        most = expected_unchanged(EVERY_SECONDS, change)
        bound = (
            f"of {each.polls:,} answers" if change is None else f"at most {100 * most:.0f} %: a change is told to all"
        )
        if change is None:
            rows.append(Row.at_most(f"{name}: gateway", goal=_CORE_PERCENT, measured=cost, unit="% core", note=note))
        else:
            rows.append(Row.told(f"{name}: gateway", measured=cost, unit="% core", note=note))
        if 100 * most > _UNCHANGED_PERCENT:
            goal = _UNCHANGED_PERCENT
            rows.append(Row.at_least(f"{name}: answered 304", goal=goal, measured=unchanged, unit="%", note=bound))
        else:
            rows.append(Row.told(f"{name}: answered 304", measured=unchanged, unit="%", note=bound))
    return rows


def main() -> None:
    """Measure, print, write page.json."""
    options, started = part_options(__doc__), machine_facts()
    with _installation(options) as (rig, who):
        seen = in_the_browser(rig, who, options)
        found = crowds(rig, who, options)
    data: dict[str, Any] = {"clients": CLIENTS, "polled": [asdict(each) for each in found]}
    if seen is None:
        browser = [Row.unmeasured("first paint, cold", goal=_FIRST_PAINT_MS, unit="ms", note=_NO_BROWSER)]
    else:
        starts, scrolled = seen
        browser = start_rows(starts) + scroll_rows(scrolled)
        data |= {"starts": [asdict(each) for each in starts], "scrolled": [asdict(each) for each in scrolled]}
    write_part("page", browser + polling_rows(found), data, started=started, options=options)


if __name__ == "__main__":
    run_part(main)
