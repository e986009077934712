"""Decoding children for real: processes, pipes, limits and signals."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import psutil
import pytest

from model.errors import ImageError, Reason
from services.worker.decoding.nursery import ZYGOTE_COMMAND
from services.worker.decoding.pool import DecodingPool, RefusedFilm
from services.worker.errors import DecodingUnavailable
from tests.support.decoding_pools import (
    LIMITS,
    SIZE,
    PoolMaker,
    RequestFor,
    children,
    decode,
    gone,
    reason_of,
    write_request,
    zygote,
)
from tests.support.films import phantom_pixels, png_film
from tests.support.outcomes import eventually

OBEDIENT = (sys.executable, "-m", "tests.support.obedient_child")


@pytest.fixture
async def start_pool() -> AsyncIterator[PoolMaker]:
    async with PoolMaker(command=OBEDIENT) as maker:
        yield maker


@pytest.fixture
def request_for(tmp_path: Path) -> RequestFor:
    return partial(write_request, tmp_path)


async def test_a_film_becomes_a_tensor(start_pool: PoolMaker, request_for: RequestFor) -> None:
    pool = await start_pool()
    film = await decode(pool, request_for(b"gray 7"))
    assert film.tensor.shape == (1, SIZE, SIZE)
    assert film.tensor.dtype == np.uint8
    assert (film.tensor == 7).all()


async def test_a_child_has_no_other_film_while_its_tensor_is_in_use(
    start_pool: PoolMaker, request_for: RequestFor
) -> None:
    pool = await start_pool()
    first, second = request_for(b"gray 7"), request_for(b"gray 8")
    with first.path.open("rb") as payload:
        async with pool.decode(first.order, payload.fileno()) as film:
            waiting = asyncio.create_task(decode(pool, second))
            await asyncio.wait({waiting}, timeout=0.1)
            assert (film.tensor == 7).all()
            assert not waiting.done()
            assert not film.tensor.flags.writeable, "nor does the worker write into what a child may read"
    assert (await waiting).tensor.min() == 8


async def test_a_film_whose_tensor_found_no_room_leaves_its_child_to_the_next(
    start_pool: PoolMaker, request_for: RequestFor
) -> None:
    pool = await start_pool()
    request = request_for(b"gray 7")
    with request.path.open("rb") as payload, pytest.raises(MemoryError):
        async with pool.decode(request.order, payload.fileno()):
            raise MemoryError
    assert (await decode(pool, request_for(b"gray 8"))).tensor.min() == 8


async def test_a_preview_comes_with_the_tensor(start_pool: PoolMaker, request_for: RequestFor) -> None:
    pool = await start_pool()
    film = await decode(pool, request_for(b"show 768 700"))
    assert film.tensor.shape == (1, SIZE, SIZE)
    assert film.preview is not None
    assert film.preview.shape == (768, 700)
    assert (film.preview == 9).all()
    assert (await decode(pool, request_for(b"gray 7"))).preview is None, "and is not the next film's"


@pytest.mark.parametrize("payload", [b"show 769 1", b"show 0 7"])
async def test_a_preview_that_is_not_as_announced_ends_its_film_only(
    start_pool: PoolMaker, request_for: RequestFor, payload: bytes
) -> None:
    pool = await start_pool()
    assert await reason_of(pool, request_for(payload)) is Reason.DECODE_CRASH
    assert (await decode(pool, request_for(b"gray 7"))).tensor.max() == 7


@pytest.mark.parametrize("surplus", [b"answer", b"noise"])
async def test_what_a_film_says_too_much_is_never_the_next_films_answer(
    start_pool: PoolMaker, request_for: RequestFor, surplus: bytes
) -> None:
    pool = await start_pool()
    (first,) = children()
    assert (await decode(pool, request_for(b"show-more " + surplus))).tensor.max() == 0
    assert (await decode(pool, request_for(b"gray 7"))).tensor.min() == 7, "nor is it to blame for it"
    await gone(first)


async def test_the_real_child_shows_what_it_decoded(start_pool: PoolMaker, request_for: RequestFor) -> None:
    pool = await start_pool(command=ZYGOTE_COMMAND)
    pixels = phantom_pixels(1, rows=100, columns=80, bits=8)
    film = await decode(pool, request_for(png_film(pixels)))
    assert film.preview is not None
    assert (film.preview == pixels).all()


async def test_a_film_that_was_decoded_but_may_not_be_judged_is_shown(
    start_pool: PoolMaker, request_for: RequestFor
) -> None:
    pool = await start_pool(command=ZYGOTE_COMMAND)
    with pytest.raises(RefusedFilm) as refused:
        await decode(pool, request_for(png_film(np.full((100, 80), 7, np.uint8))))
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
        (b"hoard 2147483648", Reason.DECODE_MEMORY),
    ],
)
async def test_a_film_that_breaks_its_child_ends_with_the_reason_and_spares_the_others(
    start_pool: PoolMaker, request_for: RequestFor, payload: bytes, reason: Reason
) -> None:
    pool = await start_pool(size=2)
    requests = [request_for(b"gray %d" % level) for level in range(8)]
    outcomes = await asyncio.gather(
        *(decode(pool, request) for request in requests[:4]),
        decode(pool, request_for(payload)),
        *(decode(pool, request) for request in requests[4:]),
        return_exceptions=True,
    )
    broken = outcomes.pop(4)
    assert isinstance(broken, ImageError)
    assert broken.reason is reason
    assert [int(film.tensor[0, 0, 0]) for film in outcomes if not isinstance(film, BaseException)] == list(range(8))


async def test_a_film_that_takes_too_long_ends_decode_timeout(start_pool: PoolMaker, request_for: RequestFor) -> None:
    pool = await start_pool(limits=LIMITS.model_copy(update={"seconds": 2.0}))
    assert await reason_of(pool, request_for(b"hang")) is Reason.DECODE_TIMEOUT
    assert (await decode(pool, request_for(b"gray 1"))).decode_ms > 0


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


# A zygote whose children are told one second of processor time, whatever its pool says.
SPINNING_LIMIT = (
    sys.executable,
    "-c",
    "import sys; sys.argv[1] = sys.argv[1].replace('\"seconds\":60.0', '\"seconds\":1.0');"
    "from tests.support.obedient_child import obey; from services.worker.decoding.zygote import run_zygote;"
    "run_zygote(obey)",
)


async def test_what_a_codec_prints_does_not_disturb_the_protocol(
    start_pool: PoolMaker, request_for: RequestFor
) -> None:
    pool = await start_pool()
    assert (await decode(pool, request_for(b"chatter"))).tensor.shape == (1, SIZE, SIZE)


async def test_a_child_that_dies_idle_costs_no_film(start_pool: PoolMaker, request_for: RequestFor) -> None:
    pool = await start_pool()
    (child,) = children()
    child.send_signal(signal.SIGKILL)
    await gone(child)
    assert (await decode(pool, request_for(b"gray 3"))).tensor.max() == 3


@pytest.mark.parametrize("reason", [Reason.DECODE_ERROR, Reason.DECODE_MEMORY])
async def test_a_child_is_replaced_after_a_film_that_its_codecs_failed_on(
    start_pool: PoolMaker, request_for: RequestFor, reason: Reason
) -> None:
    pool = await start_pool()
    (first,) = children()
    assert await reason_of(pool, request_for(f"fail {reason}".encode())) is reason
    assert (await decode(pool, request_for(b"gray 3"))).tensor.max() == 3
    await gone(first)


async def test_a_child_outlives_a_film_that_header_or_gate_refuse(
    start_pool: PoolMaker, request_for: RequestFor
) -> None:
    pool = await start_pool()
    before = children()
    assert await reason_of(pool, request_for(b"fail modality")) is Reason.MODALITY
    assert children() == before


async def test_a_film_is_not_blamed_for_a_child_that_others_may_have_broken(
    start_pool: PoolMaker, request_for: RequestFor
) -> None:
    pool = await start_pool()
    await decode(pool, request_for(b"gray 1"))
    (used,) = children()
    crashing = asyncio.create_task(decode(pool, request_for(b"crash")))
    with pytest.raises(ImageError) as caught:
        await crashing
    assert caught.value.reason is Reason.DECODE_CRASH, "it crashes a child that has seen no other film, too"
    await gone(used)


async def test_a_zygote_that_is_killed_costs_no_film(start_pool: PoolMaker, request_for: RequestFor) -> None:
    pool = await start_pool(size=2)
    first = zygote()
    under_way = [asyncio.create_task(decode(pool, request_for(b"sleep 3"))) for _ in range(2)]
    await eventually(lambda: [child.num_fds() for child in children()] == [5, 5])  # each holds a payload
    first.kill()
    films = await asyncio.gather(*under_way, decode(pool, request_for(b"gray 9")))
    assert [int(film.tensor.max()) for film in films] == [0, 0, 9]
    assert zygote() != first


async def test_a_child_that_is_still_busy_with_an_answered_film_costs_the_next_one_nothing(
    start_pool: PoolMaker, request_for: RequestFor
) -> None:
    pool = await start_pool(limits=LIMITS.model_copy(update={"seconds": 2.0}))
    (lingering,) = children()
    await decode(pool, request_for(b"linger"))
    assert (await decode(pool, request_for(b"gray 7"))).tensor.min() == 7
    await gone(lingering)


@contextlib.contextmanager
def descriptors_short(*, left: int) -> Iterator[None]:
    """Leave this process so many descriptors."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (psutil.Process().num_fds() + 50, limits[1]))
    taken: list[int] = []
    try:
        with contextlib.suppress(OSError):
            while True:
                taken.append(os.open(os.devnull, os.O_RDONLY))
        for _ in range(left):
            os.close(taken.pop())
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        for descriptor in taken:
            os.close(descriptor)


@pytest.mark.parametrize("victim", ["child", "zygote"])
async def test_a_worker_out_of_descriptors_fills_its_pool_again_when_it_has_some(
    start_pool: PoolMaker, request_for: RequestFor, caplog: pytest.LogCaptureFixture, victim: str
) -> None:
    pool = await start_pool(size=2)
    used = [zygote(), *children()]
    request = request_for(b"gray 3")
    for process in used[:1] if victim == "zygote" else used[1:]:
        process.kill()
    for process in used if victim == "zygote" else used[1:]:
        await gone(process)
    with descriptors_short(left=2):
        film = asyncio.create_task(decode(pool, request))
        await eventually(lambda: "decoding child not started" in caplog.text)
    assert (await film).tensor.max() == 3
    await eventually(lambda: len(children()) == 2)


async def test_a_child_is_replaced_after_its_share_of_films(start_pool: PoolMaker, request_for: RequestFor) -> None:
    pool = await start_pool(limits=LIMITS.model_copy(update={"films": 2}))
    pids = set()
    for level in range(4):
        await decode(pool, request_for(b"gray %d" % level))
        pids |= {child.pid for child in children()}
    assert len(pids) >= 2


async def test_a_payload_that_changed_after_it_was_accepted_ends_payload_digest(
    start_pool: PoolMaker, request_for: RequestFor
) -> None:
    pool = await start_pool(command=ZYGOTE_COMMAND)
    request = request_for(b"accepted")
    request.path.write_bytes(b"accepteD")
    assert await reason_of(pool, request) is Reason.PAYLOAD_DIGEST
    request.path.write_bytes(b"accepted and more")
    assert await reason_of(pool, request) is Reason.PAYLOAD_DIGEST


async def test_a_child_holds_no_credentials(start_pool: PoolMaker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXR_REDIS_URL", "redis://:secret@127.0.0.1/0")
    await start_pool(command=ZYGOTE_COMMAND)
    for process in (zygote(), *children()):
        assert not [name for name in process.environ() if name.startswith("CXR_")]
        assert "secret" not in str(process.environ())


async def test_a_child_is_confined(start_pool: PoolMaker) -> None:
    await start_pool(command=ZYGOTE_COMMAND)
    (child,) = children()
    assert child.rlimit(psutil.RLIMIT_FSIZE) == (0, 0)
    assert child.rlimit(psutil.RLIMIT_CORE) == (0, 0)
    assert child.rlimit(psutil.RLIMIT_NOFILE)[0] <= 32
    assert child.rlimit(psutil.RLIMIT_CPU)[1] < 3600
    assert child.rlimit(psutil.RLIMIT_AS)[0] < 2 * 1024**3
    status = await asyncio.to_thread(Path(f"/proc/{child.pid}/status").read_text)
    assert "NoNewPrivs:\t1" in status
    assert "Seccomp:\t2" in status
    assert "CapEff:\t0000000000000000" in status, "also where the worker is root"
    assert "CapPrm:\t0000000000000000" in status
    assert os.getpgid(child.pid) != os.getpgid(0)


async def test_a_child_that_cannot_start_is_an_error_at_start(start_pool: PoolMaker) -> None:
    with pytest.raises(DecodingUnavailable):
        await start_pool(command=(sys.executable, "-c", "raise SystemExit(1)"))


async def test_closing_the_pool_leaves_no_process(start_pool: PoolMaker, request_for: RequestFor) -> None:
    pool = await start_pool(size=2)
    family = [zygote(), *children()]
    assert len(family) == 3
    busy = asyncio.create_task(decode(pool, request_for(b"hang")))
    await asyncio.sleep(0)
    busy.cancel()
    await asyncio.gather(busy, return_exceptions=True)
    await pool.close()
    for process in family:
        await gone(process)
