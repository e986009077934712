"""Decoding pools in this process, with children of the test's choice; and films to give them."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import psutil
import pytest

from model.errors import ImageError, Reason
from model.gate import GateSpec
from model.preprocessing import PreprocessingSpec
from services.jobs.records import Claims
from services.worker.decoding.messages import DecodingLimits, FilmOrder
from services.worker.decoding.pool import DecodedFilm, DecodingPool

SIZE = 32
LIMITS = DecodingLimits(memory_bytes=512 * 1024**2, seconds=20.0, films=100)


@dataclass(frozen=True, kw_only=True)
class DecodingRequest:
    """An order, and where its payload lies."""

    order: FilmOrder
    path: Path


RequestFor = Callable[[bytes], DecodingRequest]


class PoolMaker:
    """Starts pools and closes them at the end of the block."""

    def __init__(self, *, command: Sequence[str]) -> None:
        self._command = command
        self._pools: list[DecodingPool] = []

    async def __call__(
        self,
        *,
        size: int = 1,
        limits: DecodingLimits = LIMITS,
        command: Sequence[str] | None = None,
        requires_sandbox: bool = True,
    ) -> DecodingPool:
        command = self._command if command is None else command
        pool = DecodingPool(size=size, limits=limits, command=command, requires_sandbox=requires_sandbox)
        self._pools.append(pool)
        await pool.start()
        return pool

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for pool in self._pools:
            await pool.close()


def write_request(directory: Path, payload: bytes) -> DecodingRequest:
    """Put a payload where a spool would, and return the order to decode it."""
    digest = hashlib.sha256(payload).hexdigest()
    path = directory / digest
    path.write_bytes(payload)
    order = FilmOrder(
        payload_bytes=len(payload),
        sha256=digest,
        claims=Claims(),
        gate=GateSpec(),
        preprocessing=PreprocessingSpec(size=SIZE),
    )
    return DecodingRequest(order=order, path=path)


async def decode(pool: DecodingPool, request: DecodingRequest) -> DecodedFilm:
    """Decode a film, and take a copy of its tensor before its child has another."""
    with request.path.open("rb") as payload:
        async with pool.decode(request.order, payload.fileno()) as film:
            return replace(film, tensor=film.tensor.copy())


def zygote(of: int | None = None) -> psutil.Process:
    """Return the zygote of a process, of this one by default."""
    (found,) = [process for process in psutil.Process(of).children() if _is_zygote(process)]
    return found


def _is_zygote(process: psutil.Process) -> bool:
    try:
        return "memory_bytes" in " ".join(process.cmdline())
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return False


def children(of: int | None = None) -> list[psutil.Process]:
    """Return the decoding children of a process, of this one by default."""
    return zygote(of).children()


async def gone(process: psutil.Process) -> None:
    """Wait until the process has ended."""
    await asyncio.to_thread(psutil.wait_procs, [process], timeout=10)
    assert not process.is_running()


async def reason_of(pool: DecodingPool, request: DecodingRequest) -> Reason:
    """Decode a film that cannot be; return why not."""
    with pytest.raises(ImageError) as caught:
        await decode(pool, request)
    return caught.value.reason
