"""Everything that a part starts ends with it, however it ends; and what the machine did meanwhile besides.

Knows processes and processor time, and no part. A process whose parent dies is adopted by the part (Linux: child
subreaper), so that nothing gets away: neither from being stopped nor from being counted as the part's own.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

_SET_CHILD_SUBREAPER: Final = 36  # PR_SET_CHILD_SUBREAPER, prctl(2)
_EXIT_INTERRUPTED: Final = 130
_PATIENCE_SECONDS: Final = 10.0
# A stack drains for up to half a minute.
_STOP_SECONDS: Final = 60.0


def run_part(main: Callable[[], None]) -> None:
    """Run a part; whatever it has started and not stopped is stopped, also where it ends by SIGINT or SIGTERM."""
    adopt_orphans()
    end_in_order()
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(_EXIT_INTERRUPTED)
    finally:
        end_what_was_started()


def adopt_orphans() -> None:
    """Have processes whose parents die become children of this one."""
    ctypes.CDLL(None, use_errno=True).prctl(_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def end_in_order() -> None:
    """Let the first SIGTERM do what Ctrl-C does; later ones must not interrupt the stopping.

    Not by an exception out of the handler: on an event loop that would be the fault of some connection's callback.
    ``asyncio.Runner`` turns Ctrl-C into the end of its task, as long as SIGINT is handled as Python does.
    """

    def end(*_: object) -> None:
        signal.signal(signal.SIGTERM, lambda *_: None)
        signal.raise_signal(signal.SIGINT)

    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, end)


def end_what_was_started() -> None:
    """End every process below this one: politely at first."""
    started = psutil.Process().children(recursive=True)
    for process in started:
        with suppress(psutil.NoSuchProcess):
            process.terminate()
    _, deaf = psutil.wait_procs(started, timeout=_PATIENCE_SECONDS)
    for process in deaf:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(deaf, timeout=_PATIENCE_SECONDS)


def run_to_its_end(command: Sequence[str], *, cwd: Path) -> int:
    """Run a command and return its exit status; where this process is ended, the command ends in order before it.

    In a session of its own, so that Ctrl-C reaches this process alone and the command is told once.
    """
    process = subprocess.Popen(command, cwd=cwd, start_new_session=True)
    try:
        return process.wait()
    except BaseException:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(_STOP_SECONDS)
        process.kill()
        process.wait()
        raise


@dataclass(frozen=True, kw_only=True)
class Moment:
    """How much processor time had been spent by then, in seconds: by everybody on our cores, and by this family."""

    wall: float
    everybody: float
    family: float

    @classmethod
    def now(cls) -> Moment:
        """Return this moment."""
        return cls(wall=time.monotonic(), everybody=_busy_seconds(), family=_family_seconds())

    def other_cores_since(self, earlier: Moment) -> float:
        """Return how many cores, on average, others had since then; the kernel's own work counts as others'."""
        others = (self.everybody - earlier.everybody) - (self.family - earlier.family)
        return max(0.0, others / max(self.wall - earlier.wall, 1e-9))


def _busy_seconds() -> float:
    spent = psutil.cpu_times(percpu=True)
    ours = [spent[core] for core in os.sched_getaffinity(0) if core < len(spent)]
    # "user" has guests' time in it.
    return float(sum(one.user + one.nice + one.system + one.irq + one.softirq + one.steal for one in ours))


def _family_seconds() -> float:
    """Return what this process, all below it, and those of them that have ended have spent."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    spent = sum(one.ru_utime + one.ru_stime for one in used)
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            spent += times.user + times.system + times.children_user + times.children_system
    return float(spent)
