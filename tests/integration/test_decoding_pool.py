"""Decoding children for real: processes, pipes, limits and signals."""

from __future__ import annotations

import asyncio
import hashlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

import numpy as np
import psutil
import pytest

from model.errors import ImageError, Reason
from model.gate import GateSpec
from model.preprocessing import PreprocessingSpec
from services.jobs.errors import SpoolUnavailable
from services.jobs.records import Claims
from services.worker.decoding_messages import DecodingLimits, DecodingRequest
from services.worker.decoding_pool import DecodingPool, RefusedFilm
from services.worker.decoding_process import CHILD_COMMAND
from services.worker.errors import DecodingUnavailable
from tests.support.films import phantom_pixels, png_film

SIZE = 32
OBEDIENT = (sys.executable, "-m", "tests.support.obedient_child")
LIMITS = DecodingLimits(memory_bytes=512 * 1024**2, seconds=20.0, films=100)


class PoolMaker:
    """Starts pools and closes them at the end of the test."""

    def __init__(self) -> None:
        self._pools: list[DecodingPool] = []

    async def __call__(
        self, *, size: int = 1, limits: DecodingLimits = LIMITS, command: Sequence[str] = OBEDIENT
    ) -> DecodingPool:
        pool = DecodingPool(size=size, limits=limits, command=command)
        self._pools.append(pool)
        await pool.start()
        return pool

    async def close(self) -> None:
        for pool in self._pools:
            await pool.close()


@pytest.fixture
async def start_pool() -> AsyncIterator[PoolMaker]:
    maker = PoolMaker()
    yield maker
    await maker.close()


@pytest.fixture
def request_for(tmp_path: Path) -> Callable[[bytes], DecodingRequest]:
    def write(payload: bytes) -> DecodingRequest:
        digest = hashlib.sha256(payload).hexdigest()
        path = tmp_path / digest
        path.write_bytes(payload)
        return DecodingRequest(
            path=path,
            payload_bytes=len(payload),
            sha256=digest,
            claims=Claims(),
            gate=GateSpec(),
            preprocessing=PreprocessingSpec(size=SIZE),
        )

    return write


RequestFor = Callable[[bytes], DecodingRequest]


def children() -> list[psutil.Process]:
    return [process for process in psutil.Process().children() if "child" in " ".join(process.cmdline())]


async def reason_of(pool: DecodingPool, request: DecodingRequest) -> Reason:
    with pytest.raises(ImageError) as caught:
        await pool.decode(request)
    return caught.value.reason


async def test_a_film_becomes_a_tensor(start_pool: PoolMaker, request_for: RequestFor) -> None:
    pool = await start_pool()
    film = await pool.decode(request_for(b"gray 7"))
    assert film.tensor.shape == (1, SIZE, SIZE)
    assert film.tensor.dtype == np.uint8
    assert (film.tensor == 7).all()


async def test_a_preview_comes_with_the_tensor(start_pool: PoolMaker, request_for: RequestFor) -> None:
    pool = await start_pool()
    film = await pool.decode(request_for(b"show 768 700"))
    assert film.tensor.shape == (1, SIZE, SIZE)
    assert film.preview is not None
    assert film.preview.shape == (768, 700)
    assert (film.preview == 9).all()
    assert (await pool.decode(request_for(b"gray 7"))).preview is None, "and leaves nothing in the pipe"


@pytest.mark.parametrize("payload", [b"show 769 1", b"show 0 7", b"show-less"])
async def test_a_preview_that_is_not_as_announced_ends_its_film_only(
    start_pool: PoolMaker, request_for: RequestFor, payload: bytes
) -> None:
    pool = await start_pool()
    assert await reason_of(pool, request_for(payload)) is Reason.DECODE_CRASH
    assert (await pool.decode(request_for(b"gray 7"))).tensor.max() == 7


@pytest.mark.parametrize("surplus", [b"answer", b"noise"])
async def test_what_a_film_leaves_in_the_pipe_is_never_the_next_films_answer(
    start_pool: PoolMaker, request_for: RequestFor, surplus: bytes
) -> None:
    pool = await start_pool()
    (first,) = children()
    assert (await pool.decode(request_for(b"show-more " + surplus))).tensor.max() == 0
    assert await reason_of(pool, request_for(b"gray 7")) is Reason.DECODE_CRASH
    assert (await pool.decode(request_for(b"gray 8"))).tensor.min() == 8
    assert first not in children(), "it was replaced"


async def test_the_real_child_shows_what_it_decoded(start_pool: PoolMaker, request_for: RequestFor) -> None:
    pool = await start_pool(command=CHILD_COMMAND)
    pixels = phantom_pixels(1, rows=100, columns=80, bits=8)
    film = await pool.decode(request_for(png_film(pixels)))
    assert film.preview is not None
    assert (film.preview == pixels).all()


async def test_a_film_that_was_decoded_but_may_not_be_judged_is_shown(
    start_pool: PoolMaker, request_for: RequestFor
) -> None:
    pool = await start_pool(command=CHILD_COMMAND)
    with pytest.raises(RefusedFilm) as refused:
        await pool.decode(request_for(png_film(np.full((100, 80), 7, np.uint8))))
    assert refused.value.reason is Reason.BLANK
    assert refused.value.preview.shape == (100, 80)
    assert refused.value.decode_ms > 0
    assert await reason_of(pool, request_for(png_film(seed=1)[:500])) is Reason.DECODE_ERROR


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"crash", Reason.DECODE_CRASH),
        (b"exit", Reason.DECODE_CRASH),
        (b"be-killed", Reason.DECODE_MEMORY),
        (b"hoard", Reason.DECODE_MEMORY),
    ],
)
async def test_a_film_that_breaks_its_child_ends_with_the_reason_and_spares_the_others(
    start_pool: PoolMaker, request_for: RequestFor, payload: bytes, reason: Reason
) -> None:
    pool = await start_pool(size=2)
    requests = [request_for(b"gray %d" % level) for level in range(8)]
    outcomes = await asyncio.gather(
        *(pool.decode(request) for request in requests[:4]),
        pool.decode(request_for(payload)),
        *(pool.decode(request) for request in requests[4:]),
        return_exceptions=True,
    )
    broken = outcomes.pop(4)
    assert isinstance(broken, ImageError)
    assert broken.reason is reason
    assert [int(film.tensor[0, 0, 0]) for film in outcomes if not isinstance(film, BaseException)] == list(range(8))


async def test_a_film_that_takes_too_long_ends_decode_timeout(start_pool: PoolMaker, request_for: RequestFor) -> None:
    pool = await start_pool(limits=LIMITS.model_copy(update={"seconds": 0.3}))
    assert await reason_of(pool, request_for(b"hang")) is Reason.DECODE_TIMEOUT
    assert (await pool.decode(request_for(b"gray 1"))).decode_ms > 0


async def test_a_film_that_burns_its_processor_time_ends_decode_timeout(
    start_pool: PoolMaker, request_for: RequestFor
) -> None:
    # The child's own limit is what ends it: the worker alone would wait for a minute.
    pool = DecodingPool(size=1, limits=LIMITS.model_copy(update={"seconds": 60.0}), command=(*SPINNING_LIMIT,))
    await pool.start()
    try:
        assert await reason_of(pool, request_for(b"spin")) is Reason.DECODE_TIMEOUT
    finally:
        await pool.close()


# A child that was told one second of processor time, whatever its pool says.
SPINNING_LIMIT = (
    sys.executable,
    "-c",
    "import sys; sys.argv[1] = sys.argv[1].replace('\"seconds\":60.0', '\"seconds\":1.0');"
    "from tests.support.obedient_child import obey; from services.worker.decoding_child import run_child;"
    "run_child(obey)",
)


async def test_what_a_codec_prints_does_not_disturb_the_protocol(
    start_pool: PoolMaker, request_for: RequestFor
) -> None:
    pool = await start_pool()
    assert (await pool.decode(request_for(b"chatter"))).tensor.shape == (1, SIZE, SIZE)


async def test_a_child_that_dies_idle_costs_no_film(start_pool: PoolMaker, request_for: RequestFor) -> None:
    pool = await start_pool()
    (child,) = children()
    child.send_signal(signal.SIGKILL)
    child.wait(timeout=10)
    assert (await pool.decode(request_for(b"gray 3"))).tensor.max() == 3


async def test_a_child_is_replaced_after_its_share_of_films(start_pool: PoolMaker, request_for: RequestFor) -> None:
    pool = await start_pool(limits=LIMITS.model_copy(update={"films": 2}))
    pids = set()
    for level in range(4):
        await pool.decode(request_for(b"gray %d" % level))
        pids |= {child.pid for child in children()}
    assert len(pids) >= 2


async def test_a_payload_that_is_gone_is_not_the_films_fault(start_pool: PoolMaker, request_for: RequestFor) -> None:
    pool = await start_pool(command=CHILD_COMMAND)
    request = request_for(b"any")
    request.path.unlink()
    with pytest.raises(SpoolUnavailable):
        await pool.decode(request)


async def test_a_payload_that_changed_after_it_was_accepted_ends_payload_digest(
    start_pool: PoolMaker, request_for: RequestFor
) -> None:
    pool = await start_pool(command=CHILD_COMMAND)
    request = request_for(b"accepted")
    request.path.write_bytes(b"accepteD")
    assert await reason_of(pool, request) is Reason.PAYLOAD_DIGEST
    request.path.write_bytes(b"accepted and more")
    assert await reason_of(pool, request) is Reason.PAYLOAD_DIGEST


async def test_a_child_holds_no_credentials(start_pool: PoolMaker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXR_REDIS_URL", "redis://:secret@127.0.0.1/0")
    await start_pool(command=CHILD_COMMAND)
    (child,) = children()
    assert not [name for name in child.environ() if name.startswith("CXR_")]
    assert "secret" not in str(child.environ())


async def test_a_child_is_confined(start_pool: PoolMaker) -> None:
    await start_pool(command=CHILD_COMMAND)
    (child,) = children()
    assert child.rlimit(psutil.RLIMIT_FSIZE) == (0, 0)
    assert child.rlimit(psutil.RLIMIT_CORE) == (0, 0)
    assert child.rlimit(psutil.RLIMIT_NOFILE)[0] <= 32
    assert child.rlimit(psutil.RLIMIT_AS)[0] < 2 * 1024**3
    status = await asyncio.to_thread(Path(f"/proc/{child.pid}/status").read_text)
    assert "NoNewPrivs:\t1" in status
    assert os.getpgid(child.pid) != os.getpgid(0)


async def test_a_child_that_cannot_start_is_an_error_at_start(start_pool: PoolMaker) -> None:
    with pytest.raises(DecodingUnavailable):
        await start_pool(command=(sys.executable, "-c", "raise SystemExit(1)"))


async def test_closing_the_pool_leaves_no_process(start_pool: PoolMaker, request_for: RequestFor) -> None:
    pool = await start_pool(size=2)
    assert len(children()) == 2
    busy = asyncio.create_task(pool.decode(request_for(b"hang")))
    await asyncio.sleep(0)
    busy.cancel()
    await asyncio.gather(busy, return_exceptions=True)
    await pool.close()
    assert children() == []
