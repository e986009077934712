"""The trail on disks that fail and in processes that are killed."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from redis.asyncio import Redis

from services.jobs.ledger.entries import AuditEvent, Note
from services.jobs.ledger.heads import Heads, running_trail
from services.jobs.ledger.retention import retire
from services.jobs.ledger.trail import AuditTrail
from services.jobs.ledger.verify import verify
from tests.support.gateway import wait_until
from tests.support.ledger import heads_in, lines_of, write_chain
from tests.support.redis_server import RedisServer

KILLS = 8
_WRITER = """
import asyncio, sys
from pathlib import Path
from services.jobs.connection import connect_worker
from services.jobs.ledger.entries import AuditEvent
from services.jobs.ledger.heads import Heads
from services.jobs.ledger.trail import AuditTrail
from services.jobs.settings import RedisSettings

async def main() -> None:
    trail = AuditTrail(Path(sys.argv[1]), "worker")
    trail.start()
    async with connect_worker(RedisSettings.model_validate({"url": sys.argv[2]})) as redis:
        heads = Heads(redis)
        while True:
            for _ in range(20):
                trail.note(AuditEvent.ACCESSED, film_id="0" * 32)
            await asyncio.sleep(0)
            if trail.position is not None:
                await heads.publish(*trail.position)

asyncio.run(main())
"""


async def test_everything_that_redis_was_told_of_is_there_after_any_kill(
    redis_server: RedisServer, redis_client: Redis, tmp_path: Path
) -> None:
    audit, heads = tmp_path / "audit", Heads(redis_client)
    for kill in range(KILLS):
        writer = await asyncio.create_subprocess_exec(sys.executable, "-c", _WRITER, str(audit), redis_server.url)
        while len(await heads.known()) <= kill:
            assert writer.returncode is None
        writer.send_signal(signal.SIGKILL)
        await writer.wait()
    known = await heads.known()
    report = verify(audit, known)
    assert report.findings == ()
    assert len(known) == report.chains == KILLS
    assert report.entries >= sum(head.seq for head in known.values())


async def test_stopped_process_leaves_redis_its_last_word(redis_client: Redis, tmp_path: Path) -> None:
    trail = AuditTrail(tmp_path / "audit", "api")
    async with running_trail(trail, redis_client):
        trail.note(AuditEvent.ACCEPTED)
    assert await Heads(redis_client).known() == heads_in(tmp_path / "audit")


async def test_heads_never_go_back(redis_client: Redis, tmp_path: Path) -> None:
    path = write_chain(tmp_path, entries=3)
    newest, heads = heads_in(tmp_path)[path.name], Heads(redis_client)
    await heads.publish(path.name, newest)
    write_chain(tmp_path, entries=1)
    older = next(head for name, head in heads_in(tmp_path).items() if name != path.name)
    await heads.publish(path.name, older)
    assert await heads.known() == {path.name: newest}


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MB."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)], capture_output=True)
    if mounted.returncode != 0:
        if os.environ.get("CI") == "true":
            pytest.fail("a tmpfs cannot be mounted here; CI must not skip this test")
        pytest.skip("a tmpfs cannot be mounted here (needs root)")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def test_full_disk_loses_nothing_that_fits_the_buffer_and_leaves_a_sound_chain(small_disk: Path) -> None:
    trail = AuditTrail(small_disk / "audit", "api")
    trail.start()
    wait_until(lambda: trail.position is not None)
    ballast = small_disk / "ballast"
    with ballast.open("wb") as file:
        free = shutil.disk_usage(small_disk).free
        file.write(b"x" * (free - 40_000))
    for number in range(1000):  # about 300 KB
        trail.note(AuditEvent.ACCESSED, film_id=f"{number:032x}")
    wait_until(lambda: not trail.is_writable)
    # Every second there is another attempt, during which the last line is half there.
    wait_until(lambda: verify(trail.directory, heads_in(trail.directory)).is_sound)
    assert not trail.is_writable
    ballast.unlink()
    wait_until(lambda: trail.is_writable and trail.waiting == 0)
    trail.close()
    (path,) = trail.directory.glob("*.jsonl")
    films = [json.loads(line).get("film") for line in lines_of(path)]
    assert [film for film in films if film is not None] == [f"{number:032x}" for number in range(1000)]
    assert verify(trail.directory, heads_in(trail.directory)).is_sound


async def test_old_chains_of_ended_processes_are_retired_with_a_line_that_says_so(
    redis_client: Redis, tmp_path: Path
) -> None:
    directory = tmp_path / "audit"
    ended = write_chain(directory, entries=2)
    living, trail = AuditTrail(directory, "api"), AuditTrail(directory, "worker")
    living.start()
    trail.start()
    living.append([Note(event=AuditEvent.ACCEPTED)]).result(timeout=10)
    heads = Heads(redis_client)
    for name, head in heads_in(directory).items():
        await heads.publish(name, head)
    assert await retire(trail, heads, timedelta(days=32)) == 0
    assert await retire(trail, heads, timedelta(seconds=-60)) == 1  # as if a minute from now were long ago
    assert not ended.exists()
    assert ended.name not in await heads.known()
    assert verify(directory, await heads.known()).is_sound
    living.close()
    trail.close()


async def test_chain_that_explains_a_missing_one_is_explained_itself_as_long_as_a_third_names_it(
    redis_client: Redis, tmp_path: Path
) -> None:
    directory, heads, long_ago = tmp_path / "audit", Heads(redis_client), timedelta(seconds=-60)
    first = write_chain(directory, entries=2)
    living, second, third = [AuditTrail(directory, service) for service in ("api", "worker", "worker")]
    living.start()
    living.append([]).result(timeout=10)  # names the first one, and lives on
    second.start()
    assert await retire(second, heads, long_ago) == 1
    second.close()
    third.start()
    assert await retire(third, heads, long_ago) == 1
    assert not first.exists()
    living.append([]).result(timeout=10)
    assert verify(directory, heads_in(directory)).findings == ()
    third.close()
    living.close()
