"""Decoding children: forked ahead, reused, confined, and replaced when a film has broken one.

Owns which child has which film. Must not know how films are decoded, nor what happens to a tensor.
Between ``consumer`` and ``film`` in the walk.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

from model.demographics import AgeSex, encode_age_sex
from model.errors import ImageError, LateralView, Reason, UnsuitableImage
from model.image import Tensor
from model.preview import Preview
from services.jobs.errors import SpoolUnavailable
from services.worker.decoding.messages import DecodingLimits, FilmOrder, ReplyStatus, Sandbox
from services.worker.decoding.nursery import ZYGOTE_COMMAND, Nursery
from services.worker.decoding.process import Answered, ChildLost, DecodingProcess
from services.worker.errors import SandboxUnavailable

logger = logging.getLogger(__name__)

# A film is allowed so many times its processor time on the clock: busy cores are not its fault, hanging is.
_WALL_FACTOR: Final = 3.0
_RESTART_PAUSE_SECONDS: Final = 1.0
# Of a film whose children were lost for what may have been another's doing.
_MAX_TRIES: Final = 3
# What is left of the heap after these is anybody's guess. A refusal by header or gate leaves a child as it was.
_BREAKS_CHILD: Final = frozenset({Reason.DECODE_ERROR, Reason.DECODE_MEMORY})


@dataclass(frozen=True, kw_only=True)
class DecodedFilm:
    """A film ready to be scored: ``tensor`` is ``(1, s, s)`` uint8, ``decode_ms`` what it took in the child.

    The tensor is the child's memory, see ``DecodingPool.decode``. ``preview`` is ``None`` where none could be made;
    ``age_sex`` ``(2,)`` float32 is there where it was asked for.
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
        How the zygote is started that forks them; ``DecodingLimits`` as JSON is appended.
    requires_sandbox
        Whether children with limits alone will not do.
    """

    def __init__(
        self,
        *,
        size: int,
        limits: DecodingLimits,
        command: Sequence[str] = ZYGOTE_COMMAND,
        requires_sandbox: bool = True,
    ) -> None:
        self.size = size
        self.sandbox = Sandbox.SECCOMP
        self._limits = limits
        self._requires_sandbox = requires_sandbox
        self._nursery = Nursery(limits=limits, command=command)
        # Last in, first out: under little load one warm child does the work and the others stay paged out.
        self._idle: asyncio.LifoQueue[DecodingProcess] = asyncio.LifoQueue()
        self._children: set[DecodingProcess] = set()
        self._replacements: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Start every child.

        Raises
        ------
        DecodingUnavailable
            If one does not become ready.
        SandboxUnavailable
            If the kernel does not confine them as required.
        """
        started = await asyncio.gather(*(self._start_child() for _ in range(self.size)), return_exceptions=True)
        failures = [outcome for outcome in started if isinstance(outcome, BaseException)]
        if failures:
            await self.close()
            raise failures[0]
        is_sandboxed = all(child.sandbox is Sandbox.SECCOMP for child in self._children)
        self.sandbox = Sandbox.SECCOMP if is_sandboxed else Sandbox.LIMITS

    @asynccontextmanager
    async def decode(self, order: FilmOrder, payload: int) -> AsyncIterator[DecodedFilm]:
        """Decode, gate and preprocess one film, whose payload is an open file, in a child of its own.

        The child waits until the block ends, because the film's tensor lies in its memory: copy it there, and let
        nothing else in the block take time. A film whose child was lost is given to another where an earlier film, or
        whoever killed the zygote, may have been the cause.

        Raises
        ------
        ImageError
            With the reason the film ends with; ``decode_crash``, ``decode_timeout`` and ``decode_memory`` where the
            child did not survive it; ``LateralView`` where it is one; ``RefusedFilm`` where there is a preview of it.
            Only this film is affected.
        SpoolUnavailable
            If the payload could not be read; retryable.
        """
        child, answered = await self._answered(order, payload)
        try:
            yield _film_of(answered, order)
        finally:
            if answered.reply.reason in _BREAKS_CHILD or child.films >= self._limits.films:
                self._replace(child)
            else:
                self._idle.put_nowait(child)

    async def _answered(self, order: FilmOrder, payload: int) -> tuple[DecodingProcess, Answered]:
        tries = 0
        while True:
            try:
                return await self._exchange(order, payload)
            except ChildLost as loss:
                if loss.reason is None:
                    continue
                tries += 1
                if loss.is_certain or tries == _MAX_TRIES:
                    raise ImageError(loss.reason, "the decoding child was lost") from loss

    async def _exchange(self, order: FilmOrder, payload: int) -> tuple[DecodingProcess, Answered]:
        """Have one child decode the film; return it with its answer. One that does not answer is replaced."""
        child = await self._idle.get()
        try:
            async with asyncio.timeout(_WALL_FACTOR * self._limits.seconds):
                return child, await child.exchange(order, payload, opening_seconds=self._limits.seconds)
        except TimeoutError as error:
            self._replace(child)
            raise ImageError(Reason.DECODE_TIMEOUT, "decoding took too long") from error
        except BaseException:  # lost, or still busy with a film that nobody waits for
            self._replace(child)
            raise

    async def close(self) -> None:
        """Kill every child."""
        for task in self._replacements:
            task.cancel()
        await asyncio.gather(*self._replacements, return_exceptions=True)
        for child in self._children:
            child.close()
        self._children.clear()
        await self._nursery.close()

    def _replace(self, child: DecodingProcess) -> None:
        """Put another child in this one's place, without making any film wait for it."""
        child.close()
        self._children.discard(child)
        task = asyncio.create_task(self._renew())
        self._replacements.add(task)
        task.add_done_callback(self._replacements.discard)

    async def _renew(self) -> None:
        while True:
            try:
                await self._start_child()
            except Exception:  # the outermost guard: a place that is given up here is missing for ever
                # Memory or descriptors may be short for now. Films wait meanwhile and keep their place; none is blamed.
                logger.exception("decoding child not started", extra={"action": "decoding_child_not_started"})
                await asyncio.sleep(_RESTART_PAUSE_SECONDS)
            else:
                return

    async def _start_child(self) -> None:
        child = await self._nursery.birth()
        if self._requires_sandbox and child.sandbox is not Sandbox.SECCOMP:
            child.close()
            raise SandboxUnavailable(
                "this kernel does not filter system calls (seccomp), so that a film could reach network and files from "
                "its decoder; CXR_WORKER_REQUIRE_SANDBOX=false accepts that"
            )
        self._children.add(child)
        self._idle.put_nowait(child)


def _film_of(answered: Answered, order: FilmOrder) -> DecodedFilm:
    reply = answered.reply
    if reply.status is ReplyStatus.UNREADABLE:
        raise SpoolUnavailable(f"the payload cannot be read ({reply.error})")
    if answered.tensor is None:
        raise _refusal(answered)
    age_sex = encode_age_sex(reply.age_years, reply.sex) if order.wants_age_sex else None
    return DecodedFilm(tensor=answered.tensor, decode_ms=reply.decode_ms, preview=answered.preview, age_sex=age_sex)


def _refusal(answered: Answered) -> ImageError:
    reply = answered.reply
    reason, detail = reply.reason or Reason.DECODE_ERROR, f"the decoding child answered {reply.error}"
    if reply.is_lateral:
        return LateralView(Reason.VIEW, detail)
    if answered.preview is None:
        return ImageError(reason, detail)
    return RefusedFilm(reason, detail, preview=answered.preview, decode_ms=reply.decode_ms)
