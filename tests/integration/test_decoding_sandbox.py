"""What a film that has taken over its decoder can still do: nothing but end itself. Real kernel, real confinement."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import os
import platform
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest

from model.decoding.transfer_syntaxes import JUDGED_TRANSFER_SYNTAXES
from model.errors import Reason
from services.worker.decoding.messages import Sandbox
from services.worker.decoding.nursery import ZYGOTE_COMMAND
from services.worker.decoding.pool import DecodingPool
from services.worker.errors import SandboxUnavailable
from tests.support import films
from tests.support.decoding_pools import (
    LIMITS,
    DecodingRequest,
    PoolMaker,
    RequestFor,
    children,
    decode,
    reason_of,
    write_request,
    zygote,
)
from tests.support.films import dicom_film, jpeg_film, phantom_pixels, png_film
from tests.support.outcomes import eventually

HOSTILE = (sys.executable, "-m", "tests.support.hostile_child")
NO_SECCOMP = (sys.executable, "-m", "tests.support.no_seccomp")
JUDGED = (
    *(films.IMPLICIT, films.EXPLICIT, films.RLE, films.JPEG_BASELINE, films.JPEG_EXTENDED, films.JPEG_LOSSLESS),
    *(films.JPEG_LOSSLESS_SV1, films.JPEG_LS, films.JPEG_LS_LOSSY, films.JPEG_2000_LOSSLESS, films.JPEG_2000),
    *(films.HTJ2K_LOSSLESS, films.HTJ2K_LOSSLESS_RPCL, films.HTJ2K),
)
# A window, a histogram, a table: each takes another way through the compiled loops.
LOOKS: tuple[dict[str, Any], ...] = (
    {},
    {"WindowCenter": None, "WindowWidth": None},
    {"VOILUTFunction": "SIGMOID"},
)
HOSTILE_FILMS = {
    b"anonymous-memory 2147483648": Reason.DECODE_CRASH,
    b"hoard 2147483648": Reason.DECODE_MEMORY,
    b"garbage": Reason.DECODE_CRASH,
    b"huge-answer": Reason.DECODE_CRASH,
    b"other-film": Reason.DECODE_CRASH,
    b"aeon": Reason.DECODE_CRASH,
    b"patient-in-the-log": Reason.DECODE_CRASH,
    b"shapes": Reason.DECODE_CRASH,
    b"many-shapes": Reason.DECODE_CRASH,
    b"hang-up": Reason.DECODE_CRASH,
    b"exit": Reason.DECODE_CRASH,
    b"crash": Reason.DECODE_CRASH,
}
# x86_64 and aarch64: socket, connect, execve, vfork or clone, clone3, openat2, io_uring_setup, bpf, keyctl, add_key,
# userfaultfd, perf_event_open, process_vm_writev, unshare, setns, pidfd_open, init_module, memfd_create, execveat.
FORBIDDEN_NUMBERS = {
    "x86_64": (41, 42, 59, 58, 435, 437, 425, 321, 250, 248, 323, 298, 311, 272, 308, 434, 175, 319, 322),
    "aarch64": (198, 203, 221, 220, 435, 437, 425, 280, 219, 217, 282, 241, 271, 97, 268, 434, 105, 279, 281),
}


@pytest.fixture
async def start_pool() -> AsyncIterator[PoolMaker]:
    async with PoolMaker(command=HOSTILE) as maker:
        yield maker


@pytest.fixture
def request_for(tmp_path: Path) -> RequestFor:
    return partial(write_request, tmp_path)


@pytest.fixture
def bystander() -> Iterator[subprocess.Popen[bytes]]:
    """Another process of the same user."""
    with subprocess.Popen(["sleep", "600"]) as process:
        yield process
        process.kill()


@contextlib.contextmanager
def listening(address: str | tuple[str, int], family: socket.AddressFamily) -> Iterator[socket.socket]:
    with socket.socket(family, socket.SOCK_STREAM) as server:
        server.bind(address)
        server.listen()
        server.setblocking(False)
        yield server


async def attempt(pool: DecodingPool, request: DecodingRequest) -> int:
    """Have a child try something; return what the kernel said to it."""
    return int((await decode(pool, request)).tensor.max())


async def test_no_connection_can_be_made(start_pool: PoolMaker, request_for: RequestFor, tmp_path: Path) -> None:
    pool = await start_pool()
    path, abstract = str(tmp_path / "redis.sock"), f"@cxr-{os.getpid()}"
    with (
        listening(("127.0.0.1", 0), socket.AF_INET) as tcp,
        listening(path, socket.AF_UNIX) as unix,
        listening("\0" + abstract[1:], socket.AF_UNIX) as unnamed,
    ):
        assert await attempt(pool, request_for(b"connect-tcp %d" % tcp.getsockname()[1])) == errno.EPERM
        assert await attempt(pool, request_for(f"connect-unix {path}".encode())) == errno.EPERM
        assert await attempt(pool, request_for(f"connect-unix {abstract}".encode())) == errno.EPERM
        for server in (tcp, unix, unnamed):
            with pytest.raises(BlockingIOError):
                server.accept()


async def test_neither_programs_nor_processes_can_be_started(start_pool: PoolMaker, request_for: RequestFor) -> None:
    pool = await start_pool()
    (child,) = children()
    for order in ("exec /bin/true", "fork", "thread", "memfd", "raise-limits", "raise-processor-time"):
        assert await attempt(pool, request_for(order.encode())) == errno.EPERM, order
        assert children() == [child], order
        assert child.children() == [], order


async def test_no_file_can_be_reached_by_its_name(
    start_pool: PoolMaker, request_for: RequestFor, tmp_path: Path
) -> None:
    pool = await start_pool()
    neighbour = tmp_path / "neighbour"
    neighbour.write_bytes(b"another patient")
    for verb in ("unlink", "truncate", "rename", "chmod", "link", "mkdir", "append", "read", "list", "stat", "mount"):
        assert await attempt(pool, request_for(f"{verb} {neighbour}".encode())) == errno.EPERM, verb
        assert neighbour.read_bytes() == b"another patient", verb
        assert neighbour.stat().st_mode & 0o777 != 0o777, verb


async def test_its_own_payload_cannot_be_written(start_pool: PoolMaker, request_for: RequestFor) -> None:
    pool = await start_pool()
    request = request_for(b"write-payload")
    assert await attempt(pool, request) == errno.EBADF
    assert request.path.read_bytes() == b"write-payload"


async def test_the_workers_environment_and_memory_are_out_of_reach(
    start_pool: PoolMaker, request_for: RequestFor
) -> None:
    pool = await start_pool()
    worker = os.getpid()
    for order in ("read /proc/%d/environ", "read /proc/%d/mem", "list /proc/%d/fd", "ptrace %d", "process-vm %d"):
        assert await attempt(pool, request_for((order % worker).encode())) == errno.EPERM


async def test_no_other_process_can_be_killed(
    start_pool: PoolMaker, request_for: RequestFor, bystander: subprocess.Popen[bytes]
) -> None:
    pool = await start_pool(size=2)
    before = [zygote(), *children()]
    for pid in (bystander.pid, *(process.pid for process in before[:1])):
        assert await attempt(pool, request_for(b"kill %d" % pid)) == errno.EPERM
    assert bystander.poll() is None
    assert [zygote(), *children()] == before


async def test_every_call_that_decoding_does_not_need_is_refused(
    start_pool: PoolMaker, request_for: RequestFor
) -> None:
    pool = await start_pool()
    for number in FORBIDDEN_NUMBERS[platform.machine()]:
        assert await attempt(pool, request_for(b"system-call %d" % number)) == errno.EPERM, number


@pytest.mark.skipif(platform.machine() != "x86_64", reason="x32 is x86_64's")
async def test_the_second_table_of_system_calls_is_refused(start_pool: PoolMaker, request_for: RequestFor) -> None:
    pool = await start_pool()
    getpid_of_x32 = 0x40000000 + 39
    assert await attempt(pool, request_for(b"system-call %d" % getpid_of_x32)) == errno.EPERM


def _open_files(pid: int) -> list[str]:
    return [str(entry.readlink()) for entry in sorted(Path(f"/proc/{pid}/fd").iterdir())]


def test_a_child_inherits_nothing_but_its_socket(tmp_path: Path) -> None:
    """What a worker has open, its zygote and children have not."""
    secret = tmp_path / "secret"
    secret.write_text("redis password")

    async def descriptors() -> list[str]:
        async with PoolMaker(command=ZYGOTE_COMMAND) as maker:
            await maker()
            (child,) = children()
            return await asyncio.to_thread(_open_files, child.pid)

    with secret.open() as file:
        os.set_inheritable(file.fileno(), True)
        found = asyncio.run(descriptors())
    assert found[:3] == ["/dev/null"] * 3
    assert len(found) == 4
    assert found[3].startswith("socket:")


async def test_what_a_hostile_film_does_ends_it_alone(start_pool: PoolMaker, request_for: RequestFor) -> None:
    pool = await start_pool(size=2)
    for order, reason in HOSTILE_FILMS.items():
        await _ends_alone(pool, request_for, order, reason)


@pytest.mark.parametrize("order", [b"spin", b"hang", b"stop"])
async def test_a_hostile_film_that_never_ends_is_ended_alone(
    start_pool: PoolMaker, request_for: RequestFor, order: bytes
) -> None:
    pool = await start_pool(size=2, limits=LIMITS.model_copy(update={"seconds": 2.0}))
    await _ends_alone(pool, request_for, order, Reason.DECODE_TIMEOUT)


async def _ends_alone(pool: DecodingPool, request_for: RequestFor, order: bytes, reason: Reason) -> None:
    neighbours = [asyncio.create_task(decode(pool, request_for(b"gray %d" % level))) for level in range(1, 9)]
    assert await reason_of(pool, request_for(order)) is reason, order
    films_beside = await asyncio.gather(*neighbours)
    assert [int(film.tensor.min()) for film in films_beside] == list(range(1, 9)), order
    after = await decode(pool, request_for(b"gray 77"))
    assert after.tensor.max() == 77, f"{order!r}: nor does it outlast its film"


async def test_a_film_that_answers_twice_does_not_answer_for_the_next(
    start_pool: PoolMaker, request_for: RequestFor
) -> None:
    pool = await start_pool()
    await decode(pool, request_for(b"twice"))  # what it says of itself is its own affair
    for level in (5, 6, 7):
        assert (await decode(pool, request_for(b"gray %d" % level))).tensor.min() == level


async def test_what_a_child_writes_later_changes_no_tensor(start_pool: PoolMaker, request_for: RequestFor) -> None:
    pool = await start_pool()
    first = await decode(pool, request_for(b"show 700 700"))
    second = await decode(pool, request_for(b"gray 200"))
    assert (first.tensor.max(), second.tensor.min()) == (0, 200)
    assert first.preview is not None
    assert (first.preview == 9).all()


async def test_hostile_films_do_not_fill_the_worker(start_pool: PoolMaker, request_for: RequestFor) -> None:
    pool = await start_pool(size=2)
    for order in (b"huge-answer", b"garbage"):
        await reason_of(pool, request_for(order))
    before_bytes, before_files = await _worker_uses(pool, request_for(b"gray 5"))
    for order in (b"huge-answer", b"garbage", b"shapes", b"crash", b"exit") * 20:
        await reason_of(pool, request_for(order))
    bytes_now, files_now = await _worker_uses(pool, request_for(b"gray 5"))
    assert bytes_now - before_bytes < 32 * 1024**2
    assert files_now <= before_files
    await eventually(lambda: len(children()) == 2)


async def _worker_uses(pool: DecodingPool, request: DecodingRequest) -> tuple[int, int]:
    """Return resident bytes and open files while both children have a film: none is missing or being born."""
    worker = psutil.Process()
    with request.path.open("rb") as payload:
        async with pool.decode(request.order, payload.fileno()), pool.decode(request.order, payload.fileno()):
            gc.collect()
            return worker.memory_info().rss, worker.num_fds()


async def test_films_of_every_judged_kind_decode_in_the_sandbox(start_pool: PoolMaker, request_for: RequestFor) -> None:
    pool = await start_pool(command=ZYGOTE_COMMAND)
    assert set(JUDGED) == JUDGED_TRANSFER_SYNTAXES
    assert pool.sandbox is Sandbox.SECCOMP
    rasters = (png_film(rows=2000, columns=1800), png_film(phantom_pixels(1, bits=16)), jpeg_film())
    for payload in (*rasters, *(dicom_film(transfer_syntax=syntax, rows=700, columns=600) for syntax in JUDGED)):
        assert (await decode(pool, request_for(payload))).tensor.max() > 100


async def test_no_film_needs_a_loop_that_is_not_compiled_yet(start_pool: PoolMaker, request_for: RequestFor) -> None:
    """Compiling reads files, which a child cannot."""
    pool = await start_pool(command=ZYGOTE_COMMAND)
    for dtype in ("uint8", "uint16", "int16"):
        pixels = phantom_pixels(rows=300, columns=200, bits=8 if dtype == "uint8" else 12).astype(dtype)
        depth = {"BitsStored": 16, "HighBit": 15} if dtype == "int16" else {}
        for look in (*LOOKS, {"PixelPaddingValue": int(pixels.min())}):
            assert (await decode(pool, request_for(dicom_film(pixels, **depth, **look)))).tensor.max() > 100


async def test_films_at_preview_resolution_decode_in_the_sandbox(
    start_pool: PoolMaker, request_for: RequestFor
) -> None:
    pool = await start_pool(command=ZYGOTE_COMMAND)
    for syntax in (films.JPEG_BASELINE, films.JPEG_2000_LOSSLESS, films.JPEG_2000, films.HTJ2K_LOSSLESS):
        pixels = phantom_pixels(rows=1536, columns=1300, bits=8 if syntax == films.JPEG_BASELINE else 12)
        request = request_for(dicom_film(pixels, transfer_syntax=syntax))
        order = request.order.model_copy(update={"resolution": "preview"})
        assert (await decode(pool, replace(request, order=order))).tensor.max() > 100


async def test_a_kernel_without_seccomp_is_refused_where_a_sandbox_is_required(start_pool: PoolMaker) -> None:
    with pytest.raises(SandboxUnavailable, match="CXR_WORKER_REQUIRE_SANDBOX"):
        await start_pool(command=(*NO_SECCOMP, *ZYGOTE_COMMAND))


async def test_a_kernel_without_seccomp_will_do_where_that_is_accepted(
    start_pool: PoolMaker, request_for: RequestFor
) -> None:
    pool = await start_pool(command=(*NO_SECCOMP, *ZYGOTE_COMMAND), requires_sandbox=False)
    assert pool.sandbox is Sandbox.LIMITS
    assert (await decode(pool, request_for(png_film()))).tensor.max() > 100
