"""Nothing is lost and nothing counted twice while workers are killed again and again, and Redis once."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest
from redis.asyncio import Redis

from model.decoding.header import ImageFormat
from services.jobs import keys
from services.jobs.connection import connect_worker
from services.jobs.errors import QueueUnavailable
from services.jobs.queue import JobQueue
from services.jobs.records import Job, JobState, Record
from services.jobs.spool import Spool
from tests.support.bundles import write_tiny_bundle
from tests.support.films import dicom_film, phantom_pixels, png_film
from tests.support.outcomes import all_done
from tests.support.redis_server import RedisServer
from tests.support.submission import submit_film
from tests.support.worker_process import WorkerProcess

FILMS = 200
DONE_PER_LIFE = 40  # films after which a worker is killed
NEXT_ONES = 20  # submitted besides, for the worker to be killed in their middle; no life can do more films
LIFE_OF_REDIS = 3  # the worker's life in which Redis is killed
RUN_SECONDS = 250.0  # far more than it needs; cores may be busy

Payload = tuple[bytes, ImageFormat]


def films() -> list[Payload]:
    """Every fourth is DICOM; all differ."""
    return [
        (dicom_film(phantom_pixels(seed, rows=320, columns=320), seed=seed), ImageFormat.DICOM)
        if seed % 4 == 0
        else (png_film(seed=seed, rows=320, columns=320), ImageFormat.PNG)
        for seed in range(FILMS)
    ]


async def submit_all(
    queue: JobQueue, spool: Spool, payloads: list[Payload], room: asyncio.Semaphore | None = None
) -> list[Job]:
    """Submit as a gateway's callers do: again, when Redis was away. With ``room``, each film waits for some."""
    jobs = []
    for payload, image_format in payloads:
        if room is not None:
            await room.acquire()
        while True:
            try:
                jobs.append(await submit_film(queue, spool, payload, image_format=image_format))
            except QueueUnavailable:
                await asyncio.sleep(0.05)
            else:
                break
    return jobs


def worker_on(server: RedisServer, directory: Path, bundle: Path) -> WorkerProcess:
    return WorkerProcess(
        directory,
        CXR_REDIS_URL=server.url,
        CXR_SPOOL_DIRECTORY=directory / "spool",
        CXR_WORKER_BUNDLE=bundle,
        CXR_WORKER_METRICS_PORT=0,
        CXR_WORKER_DECODERS=2,
        CXR_WORKER_HEARTBEAT_SECONDS=0.4,
        CXR_WORKER_IDLE_SECONDS=2.0,
    )


async def undisturbed_run(server: RedisServer, directory: Path, bundle: Path, payloads: list[Payload]) -> list[Record]:
    spool = Spool(directory / "spool", quota_bytes=2**30, minimum_free_ratio=0.0)
    worker = worker_on(server, directory, bundle)
    async with connect_worker(server.settings) as client:
        queue = JobQueue(client)
        jobs = await submit_all(queue, spool, payloads)
        worker.start()
        try:
            records = await all_done(queue, jobs, seconds=RUN_SECONDS)
        finally:
            worker.kill()
    return [records[job.id] for job in jobs]


async def done_so_far(queue: JobQueue, film_ids: list[str]) -> int:
    records = await queue.records(film_ids)
    return sum(record.state is JobState.DONE for record in records)


async def kill_workers_until_done(
    queue: JobQueue, film_ids: list[str], worker: WorkerProcess, server: RedisServer, room: asyncio.Semaphore
) -> int:
    """Kill the worker whenever it has finished some films, start the next; return how many were killed."""
    deadline = time.monotonic() + RUN_SECONDS
    lives = done = submitted = 0
    while done < FILMS:
        worker.start()
        lives += 1
        if lives == LIFE_OF_REDIS:
            server.kill()
            server.start()
        goal = min(done + DONE_PER_LIFE, FILMS)
        for _ in range(submitted, goal + NEXT_ONES):
            room.release()
        submitted = goal + NEXT_ONES
        while (done := await done_so_far(queue, film_ids)) < goal:
            assert time.monotonic() < deadline, f"{done} of {FILMS} done after {lives} lives"
            await asyncio.sleep(0.01)
        worker.kill()
    return lives


async def commits_of(client: Redis, film_id: str) -> int:
    return int(str(await client.hget(keys.instance(film_id), "commits")))  # type: ignore[misc]  # redis-py: sync or async


@pytest.mark.timeout(600)
async def test_killed_workers_and_a_killed_redis_lose_no_film_and_score_none_twice(
    redis_server: RedisServer, mortal_redis_server: RedisServer, tmp_path: Path
) -> None:
    payloads = films()
    bundle = write_tiny_bundle(tmp_path / "tiny")
    expected = await undisturbed_run(redis_server, tmp_path / "undisturbed", bundle, payloads)
    directory = tmp_path / "disturbed"
    spool = Spool(directory / "spool", quota_bytes=2**30, minimum_free_ratio=0.0)
    worker = worker_on(mortal_redis_server, directory, bundle)
    async with connect_worker(mortal_redis_server.settings) as client:
        queue = JobQueue(client)
        try:
            room = asyncio.Semaphore(0)
            submitting = asyncio.create_task(submit_all(queue, spool, payloads, room))
            lives = await kill_workers_until_done(
                queue, [record.id for record in expected], worker, mortal_redis_server, room
            )
            jobs = await submitting
        finally:
            worker.kill()
        records = await queue.records([job.id for job in jobs])
        commits = [await commits_of(client, job.id) for job in jobs]
        statistics = await queue.statistics()
    assert lives > LIFE_OF_REDIS
    assert [record.probability for record in records] == [record.probability for record in expected]
    assert [record.outcome for record in records] == [record.outcome for record in expected]
    assert None not in [record.probability for record in records]
    assert commits == [1] * FILMS
    assert (statistics.open, statistics.retrying, set(statistics.depth.values())) == (0, 0, {0})
