"""Ends of processes: none outlives the test that started it, whatever becomes of that test."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager


def wait_or_kill(process: subprocess.Popen[bytes], *, seconds: float) -> int:
    """Return the exit status of a process that was told to end; kill it and fail where it does not in time.

    One that nobody waits for would warn of itself in whichever test runs when it is collected.
    """
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        raise


@contextmanager
def frozen(*processes: subprocess.Popen[bytes]) -> Iterator[None]:
    """Stop these processes for the block, so that what they do now and then cannot come between."""
    try:
        for process in processes:
            process.send_signal(signal.SIGSTOP)
            os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
        yield
    finally:
        for process in processes:
            process.send_signal(signal.SIGCONT)
