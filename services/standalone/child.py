"""One child process that is kept alive, and that cannot outlive its parent."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import logging
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from services.jobs.errors import JobsError

logger = logging.getLogger(__name__)

EXIT_CANNOT_START: Final = 2
_FIRST_BACKOFF_SECONDS: Final = 0.5
_LONGEST_BACKOFF_SECONDS: Final = 30.0
# A child that lived this long was well; its next death is a new story.
_SETTLED_SECONDS: Final = 60.0
_START_ATTEMPTS: Final = 3
_PR_SET_PDEATHSIG: Final = 1


class ChildFailed(JobsError):
    """A child cannot run, and restarting it would not help. ``has_spoken``: it has said why on stderr itself."""

    code = "child_failed"

    def __init__(self, message: str, *, has_spoken: bool) -> None:
        super().__init__(message)
        self.has_spoken = has_spoken


class Child:
    """A process, restarted with growing pauses when it dies, until it is stopped.

    Parameters
    ----------
    name
        How the log calls it.
    stop_seconds
        How long it may take to stop gracefully before it is killed.
    pass_fds
        Open files that it inherits.
    log
        The file that it writes its log to, or that its output goes to; this process's stderr where absent.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        environment: dict[str, str],
        *,
        stop_seconds: float,
        pass_fds: tuple[int, ...] = (),
        log: Path | None = None,
    ) -> None:
        self.name = name
        self._command = command
        self._environment = environment
        self._stop_seconds = stop_seconds
        self._pass_fds = pass_fds
        self._log = log
        self._process: asyncio.subprocess.Process | None = None
        self._is_stopping = False
        self._has_settled = False

    def settle(self) -> None:
        """Note that the child has become ready once: from now on it is restarted for ever."""
        self._has_settled = True

    async def run(self) -> None:
        """Keep the process alive until ``stop``.

        Raises
        ------
        ChildFailed
            If, before it was ever ready, it exits with 2 (it cannot start as configured) or dies again and again.
        """
        backoff, deaths, clock = _FIRST_BACKOFF_SECONDS, 0, asyncio.get_running_loop().time
        while not self._is_stopping:
            started = clock()
            self._process = await self._start()
            if self._is_stopping:  # asked to stop while it was being started
                self._process.terminate()
            status = await self._process.wait()
            if self._is_stopping:
                return
            deaths += 1
            logger.warning("child died", extra={"action": "child_died", "child": self.name, "status": status})
            # Once it has been ready its configuration is right: what stops it now may pass, and the others go on.
            if not self._has_settled and (status == EXIT_CANNOT_START or deaths >= _START_ATTEMPTS):
                has_spoken = status == EXIT_CANNOT_START and self._log is None
                reason = f"{self.name} cannot run (exit status {status})"
                raise ChildFailed(reason if self._log is None else f"{reason}; see {self._log}", has_spoken=has_spoken)
            if clock() - started > _SETTLED_SECONDS:
                backoff = _FIRST_BACKOFF_SECONDS
            await asyncio.sleep(backoff)
            backoff = min(backoff * 2, _LONGEST_BACKOFF_SECONDS)

    async def stop(self) -> None:
        """Ask the process to stop, and kill it where it does not in time. Idempotent."""
        self._is_stopping = True
        process = self._process
        if process is None or process.returncode is not None:
            return
        process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(self._stop_seconds):
                await process.wait()
        except TimeoutError:
            logger.warning("child killed", extra={"action": "child_killed", "child": self.name})
            process.kill()
            await process.wait()

    def kill(self) -> None:
        """End the process at once; ``stop`` returns then."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()

    async def _start(self) -> asyncio.subprocess.Process:
        with contextlib.ExitStack() as files:
            output = sys.stderr.fileno() if self._log is None else files.enter_context(self._log.open("ab"))
            return await asyncio.create_subprocess_exec(
                *self._command,
                env=self._environment,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                # Its own session: Ctrl-C in the terminal reaches the parent alone, which stops the children in order.
                start_new_session=True,
                pass_fds=self._pass_fds,
                preexec_fn=_die_with_parent(),
            )


def _die_with_parent() -> Callable[[], None] | None:
    """Return what a child does before it becomes its command: ask the kernel for SIGTERM when the parent is gone."""
    if sys.platform != "linux":
        return None
    # Looked up before the fork, where only async-signal-safe calls are allowed.
    prctl, parent = ctypes.CDLL(None, use_errno=True).prctl, os.getpid()

    def ask() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:
            os._exit(EXIT_CANNOT_START)

    return ask
