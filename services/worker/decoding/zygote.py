"""The process that children are forked from: ``python -m services.worker.decoding.zygote LIMITS``.

It has loaded all that decoding needs, so that a child is there within milliseconds and needs no file of its own. It has
one thread and a clean environment, never sees a film, and ends with the worker; its children end with it. Owns births
and deaths, on its standard input; ``nursery`` is its other end.
"""

from __future__ import annotations

import contextlib
import gc
import os
import select
import signal
import socket
import sys
from collections.abc import Callable
from typing import Final

from services.worker.decoding.child import Answer, live_as_child
from services.worker.decoding.confinement import die_with_parent
from services.worker.decoding.film import answer, warm_up
from services.worker.decoding.messages import ASKED, ENDED, FORK, KILL, NEVER_BORN, READY, DecodingLimits

# sysexits.h EX_SOFTWARE
_EXIT_BROKEN: Final = 70


class Zygote:
    """Forks children on demand and tells how each ended. Single-threaded: a fork copies no other thread's locks."""

    def __init__(self, worker: socket.socket, *, limits: DecodingLimits, answer: Answer) -> None:
        self._worker = worker
        self._limits = limits
        self._answer = answer
        self._numbers: dict[int, int] = {}  # by process id
        # A child's end is a signal; this makes it something to wait for beside the worker.
        self._deaths, self._noting = socket.socketpair()
        self._noting.setblocking(False)
        self._deaths.setblocking(False)

    def run(self) -> None:
        """Serve the worker until it closes its end."""
        signal.set_wakeup_fd(self._noting.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        # What is loaded now is never garbage, and untouched pages stay shared with the children.
        gc.collect()
        gc.freeze()
        self._worker.send(READY)
        while True:
            readable, _, _ = select.select([self._worker, self._deaths], [], [])
            if self._deaths in readable:
                self._bury()
            if self._worker in readable:
                message, files, _, _ = socket.recv_fds(self._worker, ASKED.size, 2)
                if not message:
                    return
                verb, number = ASKED.unpack(message)
                self._obey(verb, number, files)

    def _obey(self, verb: bytes, number: int, files: list[int]) -> None:
        if verb == FORK:
            channel, pixels = files
            self._fork(number, channel, pixels)
            os.close(channel)
            os.close(pixels)
        elif verb == KILL:
            for pid in [pid for pid, named in self._numbers.items() if named == number]:
                os.kill(pid, signal.SIGKILL)

    def _fork(self, number: int, channel: int, pixels: int) -> None:
        zygote = os.getpid()
        try:
            pid = os.fork()
        except OSError:
            self._worker.send(ENDED.pack(number, NEVER_BORN))
            return
        if pid != 0:
            self._numbers[pid] = number
            return
        # From here on the child. Nothing that is the zygote's may run in it, not even at its exit.
        code = _EXIT_BROKEN
        try:
            die_with_parent(zygote)
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            live_as_child(channel, pixels, limits=self._limits, answer=self._answer)
            code = 0
        finally:
            os._exit(code)

    def _bury(self) -> None:
        self._deaths.recv(4096)
        while self._numbers:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            self._worker.send(ENDED.pack(self._numbers.pop(pid), os.waitstatus_to_exitcode(status)))


def run_zygote(answer: Answer, *, prepare: Callable[[], None] = warm_up) -> None:
    """Be the zygote of the worker at the other end of standard input; ``prepare`` loads what ``answer`` will need."""
    die_with_parent(os.getppid())
    worker = socket.socket(fileno=os.dup(sys.stdin.fileno()))
    prepare()
    zygote = Zygote(worker, limits=DecodingLimits.model_validate_json(sys.argv[1]), answer=answer)
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # the worker is gone; that is the end anyway
        zygote.run()


if __name__ == "__main__":
    run_zygote(answer)
