"""One decoding child, seen from the worker: its start, its pipes, and what its death means for the film it held.

Must not know which film comes next, nor how films are decoded. Below ``decoding_pool``.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from pydantic import ValidationError

from model.errors import Reason
from services.worker.decoding_messages import (
    LENGTH,
    MAX_FRAME_BYTES,
    OPENED,
    READY,
    DecodingLimits,
    DecodingReply,
    DecodingRequest,
    ReplyStatus,
    frame,
)
from services.worker.errors import DecodingUnavailable

# -P: what lies in the working directory must not stand in for our packages.
CHILD_COMMAND: Final = (sys.executable, "-P", "-m", "services.worker.decoding_child")
# Everything else stays out, above all CXR_REDIS_URL with its password.
_PASSED_ON: Final = ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH", "LANG", "LC_ALL", "TZ")
# A child is one of many: threads of its own would only fight with the others' and with inference.
_ONE_THREAD: Final = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "OPENCV_FOR_THREADS_NUM": "1"}
_START_SECONDS: Final = 60.0
# A killed child that is still there after this long hangs in the kernel, in a read of the spool perhaps.
_EXIT_SECONDS: Final = 5.0
# A reply is read at one go: with asyncio's 64 KiB a preview of half a megabyte would stop and start the pipe often.
_PIPE_BUFFER_BYTES: Final = 1024**2


class ChildLost(Exception):
    """The child is of no more use. ``reason`` is the film's end, or ``None`` where the child had not opened it yet."""

    def __init__(self, reason: Reason | None) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, kw_only=True)
class Answer:
    """A reply, and the bytes of the tensor and of the preview; empty where there is none."""

    reply: DecodingReply
    tensor: bytes
    preview: bytes


class DecodingProcess:
    """One child and its two pipes; ``films`` counts what it was given."""

    def __init__(self, process: Process) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._process = process
        self._requests = process.stdin
        self._replies = process.stdout
        self.films = 0

    @classmethod
    async def start(cls, command: Sequence[str], limits: DecodingLimits) -> DecodingProcess:
        """Start a child and wait until it is warm; raise ``DecodingUnavailable`` if it does not become so."""
        environment = {name: os.environ[name] for name in _PASSED_ON if name in os.environ} | _ONE_THREAD
        try:
            process = await asyncio.create_subprocess_exec(
                *command,
                limits.model_dump_json(),
                stdin=PIPE,
                stdout=PIPE,
                limit=_PIPE_BUFFER_BYTES,
                stderr=None if sys.stderr is not None else DEVNULL,
                env=environment,
                start_new_session=True,  # Ctrl-C is the worker's to handle
            )
        except OSError as error:
            raise DecodingUnavailable(f"cannot start a decoding child: {error.strerror}") from error
        child = cls(process)
        try:
            async with asyncio.timeout(_START_SECONDS):
                await child._replies.readexactly(len(READY))
        except (TimeoutError, asyncio.IncompleteReadError) as error:
            await child.close()
            raise DecodingUnavailable("a decoding child did not become ready; see its message above") from error
        except asyncio.CancelledError:
            await child.close()
            raise
        return child

    async def exchange(self, request: DecodingRequest) -> Answer:
        """Send one film and return what the child answers.

        Raises
        ------
        ChildLost
            If the child died, or answered what no child of ours answers.
        """
        self.films += 1
        is_opened = False
        try:
            self._requests.write(frame(request))
            await self._requests.drain()
            opened = await self._replies.readexactly(len(OPENED))
            is_opened = True
            if opened != OPENED:
                raise ChildLost(Reason.DECODE_CRASH)
            (length,) = LENGTH.unpack(await self._replies.readexactly(LENGTH.size))
            if length > MAX_FRAME_BYTES:
                raise ChildLost(Reason.DECODE_CRASH)
            reply = DecodingReply.model_validate_json(await self._replies.readexactly(length))
            if reply.sha256 != request.sha256:
                raise ChildLost(Reason.DECODE_CRASH)  # left over from another film
            side = request.preprocessing.size if reply.status is ReplyStatus.TENSOR else 0
            tensor = await self._replies.readexactly(side * side)
            rows, columns = reply.preview_shape or (0, 0)
            return Answer(reply=reply, tensor=tensor, preview=await self._replies.readexactly(rows * columns))
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            raise ChildLost(await self._reason_of_death() if is_opened else None) from error
        except ValidationError as error:
            raise ChildLost(Reason.DECODE_CRASH) from error

    async def _reason_of_death(self) -> Reason:
        """Return what the film ends with, given how its child ended.

        SIGXCPU is our own limit on processor time. SIGKILL that we did not send is the kernel's out-of-memory
        killer, or an operator who might as well have been it.
        """
        code = await self._process.wait()
        if code == -signal.SIGXCPU:
            return Reason.DECODE_TIMEOUT
        return Reason.DECODE_MEMORY if code == -signal.SIGKILL else Reason.DECODE_CRASH

    async def close(self) -> None:
        """End the process and its pipes; returns when both are gone, or when the kernel will not let go of it."""
        self._requests.close()
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_EXIT_SECONDS):
                await self._process.wait()
