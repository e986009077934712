"""One decoding child, seen from the worker: its socket, its pixels, and what its death means for the film it held.

Must not know which film comes next, how films are decoded, nor where children come from. Below ``pool``.
"""

from __future__ import annotations

import asyncio
import fcntl
import math
import mmap
import os
import signal
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from model.errors import Reason
from model.image import Tensor
from model.preview import Preview
from services.worker.decoding.messages import (
    MAX_MESSAGE_BYTES,
    OPENED,
    PIXELS_BYTES,
    READY,
    DecodingReply,
    FilmOrder,
    ReplyStatus,
    Sandbox,
    encode,
)
from services.worker.errors import DecodingUnavailable

_BIRTH_SECONDS: Final = 30.0
# A child that has closed its socket has ended, or is not ours any more.
_EXIT_SECONDS: Final = 2.0


class ChildLost(Exception):
    """The child is of no more use.

    ``reason`` is the film's end, or ``None`` where the child had not opened it yet. ``is_certain``: no other film and
    nobody else can have been the cause.
    """

    def __init__(self, reason: Reason | None, *, is_certain: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.is_certain = is_certain


@dataclass(frozen=True, kw_only=True)
class Answered:
    """A reply, with the tensor ``(1, s, s)`` and the preview ``(rows, columns)`` uint8 where it speaks of them.

    The tensor is the child's own memory: to be copied once, to where it is needed, before the child gets another film.
    """

    reply: DecodingReply
    tensor: Tensor | None
    preview: Preview | None


def new_pixels() -> int:
    """Return a descriptor of ``PIXELS_BYTES`` of memory to share with a child, which cannot make them fewer or more.

    A mapping that was cut short would kill whoever reads it, and that is the worker.
    """
    pixels = os.memfd_create("pixels", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(pixels, PIXELS_BYTES)
    fcntl.fcntl(pixels, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)
    return pixels


class DecodingProcess:
    """One child; ``films`` counts what it was given.

    Parameters
    ----------
    channel
        The worker's end of the child's socket.
    pixels
        Descriptor of the shared memory; mapped here and closed by the caller.
    ended
        Becomes the child's exit code, or ``None`` where nobody knows it any more.
    kill
        Ends the child, wherever it is.
    """

    def __init__(
        self,
        channel: socket.socket,
        pixels: int,
        *,
        ended: asyncio.Future[int | None],
        kill: Callable[[], None],
    ) -> None:
        self._channel = channel
        self._channel.setblocking(False)
        self._shared = np.frombuffer(mmap.mmap(pixels, PIXELS_BYTES, prot=mmap.PROT_READ), np.uint8)
        self._ended = ended
        self._kill = kill
        self.sandbox = Sandbox.LIMITS
        self.films = 0

    async def wait_ready(self) -> None:
        """Return when the child is confined and may be used.

        Raises
        ------
        DecodingUnavailable
            If it ended before.
        TimeoutError
            If it says nothing.
        """
        async with asyncio.timeout(_BIRTH_SECONDS):
            said = await self._receive()
        if not said.startswith(READY):
            raise DecodingUnavailable(
                "a decoding child ended before it was ready; its limits may be too small, or /proc is not mounted"
            )
        self.sandbox = Sandbox(said[len(READY) :].decode())

    async def exchange(self, order: FilmOrder, payload: int, *, opening_seconds: float) -> Answered:
        """Give the child one film, its payload by descriptor, and return what it answers.

        The preview is a copy. The tensor is not; whoever has copied it has what no child can change any more.

        Raises
        ------
        ChildLost
            If the child died, did not open the film within ``opening_seconds``, or answered what no child of ours
            answers.
        """
        self.films += 1
        is_opened = False
        try:
            self._require_silence()
            socket.send_fds(self._channel, [encode(order)], [payload])
            async with asyncio.timeout(opening_seconds):  # what keeps it busy is an earlier film
                said = await self._receive()
            if said != OPENED:
                raise ChildLost(None)  # it has not seen this film
            is_opened = True
            said = await self._receive()
        except OSError as error:
            raise ChildLost(Reason.DECODE_CRASH if is_opened else None) from error
        if not said:
            raise await self._cause_of_death()
        return self._read(said, order)

    def _require_silence(self) -> None:
        """Refuse a child that has said something unasked: what it says next would not be about this film."""
        try:
            self._channel.recv(1)
        except BlockingIOError:
            return
        raise ChildLost(None)

    async def _receive(self) -> bytes:
        """Return the next message, cut to one byte more than is allowed; empty where the child is gone."""
        return await asyncio.get_running_loop().sock_recv(self._channel, MAX_MESSAGE_BYTES + 1)

    def _read(self, said: bytes, order: FilmOrder) -> Answered:
        try:
            reply = DecodingReply.model_validate_json(said)
        except ValidationError as error:
            raise self._gone_mad() from error
        if len(said) > MAX_MESSAGE_BYTES or reply.sha256 != order.sha256:
            raise self._gone_mad()
        side = order.preprocessing.size if reply.status is ReplyStatus.TENSOR else 0
        tensor = self._pixels(0, (1, side, side)) if side else None
        preview = self._pixels(side * side, reply.preview_shape).copy() if reply.preview_shape else None
        return Answered(reply=reply, tensor=tensor, preview=preview)

    def _pixels(self, start: int, shape: tuple[int, ...]) -> NDArray[np.uint8]:
        return self._shared[start : start + math.prod(shape)].reshape(shape)

    def _gone_mad(self) -> ChildLost:
        return ChildLost(Reason.DECODE_CRASH, is_certain=self.films == 1)

    async def _cause_of_death(self) -> ChildLost:
        """Return what the film ends with, given how its child ended.

        SIGXCPU is our own limit on processor time. SIGKILL that we did not send is the kernel's out-of-memory
        killer, or an operator who might as well have been it.
        """
        try:
            code = await asyncio.wait_for(asyncio.shield(self._ended), _EXIT_SECONDS)
        except TimeoutError:
            return self._gone_mad()  # it hung up, but lives
        if code == -signal.SIGXCPU:
            return ChildLost(Reason.DECODE_TIMEOUT, is_certain=True)
        if code == -signal.SIGKILL:
            return ChildLost(Reason.DECODE_MEMORY, is_certain=True)
        return ChildLost(Reason.DECODE_CRASH, is_certain=code is not None and self.films == 1)

    def close(self) -> None:
        """End the process and forget its memory."""
        self._channel.close()
        self._kill()
