"""Where decoding children come from: a zygote that forks them, and another zygote when it is gone.

Owns the zygote's life and the news of how children ended. Must not know films. Below ``pool``, above ``process``.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import socket
import sys
from asyncio.subprocess import DEVNULL, Process
from collections.abc import Sequence
from functools import partial
from typing import Final

from services.worker.decoding.messages import ASKED, ENDED, FORK, KILL, READY, DecodingLimits
from services.worker.decoding.process import DecodingProcess, new_pixels
from services.worker.errors import DecodingUnavailable

# -P: what lies in the working directory must not stand in for our packages.
ZYGOTE_COMMAND: Final = (sys.executable, "-P", "-m", "services.worker.decoding.zygote")
# Everything else stays out, above all CXR_REDIS_URL with its password.
_PASSED_ON: Final = ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH", "LANG", "LC_ALL", "TZ")
# A child is one of many: threads of its own would only fight with the others' and with inference, and the sandbox
# refuses them.
_ONE_THREAD: Final = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "OPENCV_FOR_THREADS_NUM": "1"}
# glibc (mallopt(3)) gives freed buffers of a film's size back to the kernel, which clears every page of them again for
# the next film: 7,700 faults and a third of the processor time of a CR of 15 MB in RLE. Children keep them instead.
MEMORY_IS_KEPT: Final = {"MALLOC_MMAP_THRESHOLD_": str(32 * 1024**2), "MALLOC_TRIM_THRESHOLD_": str(128 * 1024**2)}
# The first zygote on a machine compiles the loops: 4 s of processor time, more on the clock where all cores are busy.
_START_SECONDS: Final = 180.0
# A killed process that is still there after this long hangs in the kernel, in a read of the spool perhaps.
_EXIT_SECONDS: Final = 5.0


class _ZygoteProcess:
    """A running zygote: asks it for children, listens to how they ended."""

    def __init__(self, process: Process, channel: socket.socket) -> None:
        self._process = process
        self._channel = channel
        self._numbers = itertools.count()
        self._living: dict[int, asyncio.Future[int | None]] = {}
        self._listening: asyncio.Task[None] | None = None
        self.is_lost = False

    @classmethod
    async def start(cls, command: Sequence[str], limits: DecodingLimits) -> _ZygoteProcess:
        environment = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
        environment |= _ONE_THREAD | MEMORY_IS_KEPT
        try:
            ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        except OSError as error:
            raise DecodingUnavailable(f"cannot start the decoding zygote: {error.strerror}") from error
        ours.setblocking(False)
        with its:
            try:
                process = await asyncio.create_subprocess_exec(
                    *command,
                    limits.model_dump_json(),
                    stdin=its.fileno(),
                    stdout=DEVNULL,
                    # Open, so that an installation that cannot even import says why; children close it.
                    stderr=None if sys.stderr is not None else DEVNULL,
                    env=environment,
                    start_new_session=True,  # Ctrl-C is the worker's to handle
                )
            except OSError as error:
                ours.close()
                raise DecodingUnavailable(f"cannot start the decoding zygote: {error.strerror}") from error
            except BaseException:  # the worker gives up meanwhile
                ours.close()
                raise
        zygote = cls(process, ours)
        try:
            await zygote._wait_ready()
        except BaseException:
            await zygote.close()
            raise
        return zygote

    async def _wait_ready(self) -> None:
        try:
            async with asyncio.timeout(_START_SECONDS):
                said = await asyncio.get_running_loop().sock_recv(self._channel, len(READY))
        except (TimeoutError, OSError) as error:
            raise DecodingUnavailable("the decoding zygote did not become ready") from error
        if said != READY:
            raise DecodingUnavailable("the decoding zygote ended before it was ready; see its message above")
        self._listening = asyncio.create_task(self._listen())

    async def _listen(self) -> None:
        """Pass on how children ended, until the zygote has; then nobody will ever know of the others."""
        loop = asyncio.get_running_loop()
        try:
            with contextlib.suppress(OSError):  # as good as its end
                while message := await loop.sock_recv(self._channel, ENDED.size):
                    number, code = ENDED.unpack(message)
                    self._living.pop(number).set_result(code)
        finally:
            self.is_lost = True
            while self._living:
                self._living.popitem()[1].set_result(None)

    async def fork(self) -> DecodingProcess:
        """Return a child that is confined and ready; raise ``DecodingUnavailable`` if none becomes so."""
        try:
            child = self._ask_for_child(next(self._numbers))
        except OSError as error:
            # It is gone, or this process may open nothing more.
            raise DecodingUnavailable(f"cannot ask the decoding zygote for a child: {error.strerror}") from error
        try:
            await child.wait_ready()
        except TimeoutError as error:
            child.close()
            self.is_lost = True  # it hangs; another will do better
            raise DecodingUnavailable("a decoding child did not become ready") from error
        except BaseException:
            child.close()
            raise
        return child

    def _ask_for_child(self, number: int) -> DecodingProcess:
        ended: asyncio.Future[int | None] = asyncio.get_running_loop().create_future()
        ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with its, contextlib.ExitStack() as on_failure, contextlib.ExitStack() as handed_over:
            on_failure.callback(ours.close)
            pixels = new_pixels()
            handed_over.callback(os.close, pixels)
            child = DecodingProcess(ours, pixels, ended=ended, kill=partial(self._kill, number))
            self._ask(FORK, number, [its.fileno(), pixels])
            self._living[number] = ended
            on_failure.pop_all()
        return child

    def _kill(self, number: int) -> None:
        if number in self._living:
            with contextlib.suppress(OSError):  # without its zygote it is dead already
                self._ask(KILL, number, [])

    def _ask(self, verb: bytes, number: int, files: list[int]) -> None:
        socket.send_fds(self._channel, [ASKED.pack(verb, number)], files)

    async def close(self) -> None:
        """Kill the zygote; its children die with it."""
        self.is_lost = True
        if self._listening is not None:
            self._listening.cancel()
            await asyncio.gather(self._listening, return_exceptions=True)
        self._channel.close()
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_EXIT_SECONDS):
                await self._process.wait()


class Nursery:
    """Gives birth to children, whatever has become of the zygote.

    Parameters
    ----------
    limits
        What a child may use.
    command
        How a zygote is started; the limits as JSON are appended.
    """

    def __init__(self, *, limits: DecodingLimits, command: Sequence[str] = ZYGOTE_COMMAND) -> None:
        self._limits = limits
        self._command = command
        self._zygote: _ZygoteProcess | None = None
        self._changing = asyncio.Lock()

    async def birth(self) -> DecodingProcess:
        """Return a new child, ready; raise ``DecodingUnavailable`` where there cannot be one now."""
        async with self._changing:
            if self._zygote is None or self._zygote.is_lost:
                await self._end_zygote()
                self._zygote = await _ZygoteProcess.start(self._command, self._limits)
            zygote = self._zygote
        return await zygote.fork()

    async def close(self) -> None:
        """Kill the zygote and with it every child."""
        async with self._changing:
            await self._end_zygote()

    async def _end_zygote(self) -> None:
        if self._zygote is not None:
            zygote, self._zygote = self._zygote, None
            await zygote.close()
