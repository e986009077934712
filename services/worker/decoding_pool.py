"""Decoding children: started ahead, reused, confined, and replaced when a film has broken one.

Owns which child has which film. Must not know how films are decoded, nor what happens to a tensor.
Between ``consumer`` and ``decoding_child`` in the walk.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from model.demographics import AgeSex, encode_age_sex
from model.errors import ImageError, LateralView, Reason, UnsuitableImage
from model.image import Tensor
from model.preview import Preview
from services.jobs.errors import SpoolUnavailable
from services.worker.decoding_messages import DecodingLimits, DecodingReply, DecodingRequest, ReplyStatus
from services.worker.decoding_process import CHILD_COMMAND, Answer, ChildLost, DecodingProcess
from services.worker.errors import DecodingUnavailable

logger = logging.getLogger(__name__)

# A film is allowed so many times its processor time on the clock: busy cores are not its fault, hanging is.
_WALL_FACTOR: Final = 3.0
_RESTART_PAUSE_SECONDS: Final = 1.0


@dataclass(frozen=True, kw_only=True)
class DecodedFilm:
    """A film ready to be scored: ``tensor`` is ``(1, s, s)`` uint8, ``decode_ms`` what it took in the child.

    ``preview`` is ``None`` where none could be made; ``age_sex`` ``(2,)`` float32 is there where it was asked for.
    """

    tensor: Tensor
    decode_ms: float
    preview: Preview | None = None
    age_sex: AgeSex | None = field(default=None, repr=False)


class RefusedFilm(UnsuitableImage):
    """A film that was decoded, but may not be judged; ``preview`` shows it to whoever has to read it now."""

    def __init__(self, reason: Reason, detail: str, *, preview: Preview, decode_ms: float) -> None:
        super().__init__(reason, detail)
        self.preview = preview
        self.decode_ms = decode_ms


class DecodingPool:
    """A fixed number of decoding children.

    Parameters
    ----------
    size
        Children, all started by ``start``; films beyond that wait.
    limits
        What a film may use.
    command
        How a child is started; ``DecodingLimits`` as JSON is appended.
    """

    def __init__(self, *, size: int, limits: DecodingLimits, command: Sequence[str] = CHILD_COMMAND) -> None:
        self.size = size
        self._limits = limits
        self._command = command
        # Last in, first out: under little load one warm child does the work and the others stay paged out.
        self._idle: asyncio.LifoQueue[DecodingProcess] = asyncio.LifoQueue()
        self._children: set[DecodingProcess] = set()
        self._replacements: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Start every child; raise ``DecodingUnavailable`` if one does not become ready."""
        started = await asyncio.gather(*(self._start_child() for _ in range(self.size)), return_exceptions=True)
        failures = [outcome for outcome in started if isinstance(outcome, BaseException)]
        if failures:
            await self.close()
            raise failures[0]

    async def decode(self, request: DecodingRequest) -> DecodedFilm:
        """Decode, gate and preprocess one film in a child of its own.

        Raises
        ------
        ImageError
            With the reason the film ends with; ``decode_crash``, ``decode_timeout`` and ``decode_memory`` where the
            child did not survive it; ``LateralView`` where it is one; ``RefusedFilm`` where there is a preview of it.
            Only this film is affected.
        SpoolUnavailable
            If the payload could not be read; retryable.
        """
        while True:
            child = await self._idle.get()
            try:
                async with asyncio.timeout(_WALL_FACTOR * self._limits.seconds):
                    answer = await child.exchange(request)
            except ChildLost as loss:
                self._replace(child)
                if loss.reason is None:
                    continue
                raise ImageError(loss.reason, "the decoding child was lost") from loss
            except TimeoutError as error:
                self._replace(child)
                raise ImageError(Reason.DECODE_TIMEOUT, "decoding took too long") from error
            except asyncio.CancelledError:
                self._replace(child)  # it is still busy with a film that nobody waits for
                raise
            self._take_back(child, answer.reply)
            return _film_of(answer, request)

    async def close(self) -> None:
        """Kill every child."""
        for task in self._replacements:
            task.cancel()
        await asyncio.gather(*self._replacements, return_exceptions=True)
        await asyncio.gather(*(child.close() for child in self._children))
        self._children.clear()

    def _take_back(self, child: DecodingProcess, reply: DecodingReply) -> None:
        # What is left of the heap of a child that ran out of memory is anybody's guess.
        if reply.reason is Reason.DECODE_MEMORY or child.films >= self._limits.films:
            self._replace(child)
        else:
            self._idle.put_nowait(child)

    def _replace(self, child: DecodingProcess) -> None:
        """Put another child in this one's place, without making any film wait for it."""
        task = asyncio.create_task(self._renew(child))
        self._replacements.add(task)
        task.add_done_callback(self._replacements.discard)

    async def _renew(self, old: DecodingProcess) -> None:
        await old.close()
        self._children.discard(old)
        while True:
            try:
                await self._start_child()
            except DecodingUnavailable:
                # Memory may be short for now. Films wait meanwhile and keep their place; none is blamed.
                logger.exception("decoding child not started", extra={"action": "decoding_child_not_started"})
                await asyncio.sleep(_RESTART_PAUSE_SECONDS)
            else:
                return

    async def _start_child(self) -> None:
        child = await DecodingProcess.start(self._command, self._limits)
        self._children.add(child)
        self._idle.put_nowait(child)


def _film_of(answer: Answer, request: DecodingRequest) -> DecodedFilm:
    reply = answer.reply
    preview = np.frombuffer(answer.preview, np.uint8).reshape(reply.preview_shape) if reply.preview_shape else None
    if reply.status is ReplyStatus.UNREADABLE:
        raise SpoolUnavailable(f"the payload cannot be read ({reply.error})")
    if reply.status is ReplyStatus.NOT_ASSESSED:
        reason, detail = reply.reason or Reason.DECODE_ERROR, f"the decoding child answered {reply.error}"
        if reply.is_lateral:
            raise LateralView(Reason.VIEW, detail)
        if preview is None:
            raise ImageError(reason, detail)
        raise RefusedFilm(reason, detail, preview=preview, decode_ms=reply.decode_ms)
    side = request.preprocessing.size
    tensor = np.frombuffer(answer.tensor, np.uint8).reshape(1, side, side)
    age_sex = encode_age_sex(reply.age_years, reply.sex) if request.wants_age_sex else None
    return DecodedFilm(tensor=tensor, decode_ms=reply.decode_ms, preview=preview, age_sex=age_sex)
