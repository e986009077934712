"""Previews, heat maps and the gate on embeddings, through a worker and a gateway as processes of their own."""

from __future__ import annotations

import os
import re
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
from redis import Redis

from model.errors import Reason
from services.jobs.queue import JobQueue
from services.jobs.reconcile import UNCLAIMED_SECONDS, Retention, reconcile
from services.jobs.records import Job, Picture
from services.jobs.spool import Spool
from tests.support.bundles import write_explaining_bundle
from tests.support.directed_worker import DIRECTORY_VARIABLE, Directions
from tests.support.films import png_film
from tests.support.gateway import GatewayProcess
from tests.support.outcomes import all_done, eventually
from tests.support.redis_server import RedisServer
from tests.support.spools import journal
from tests.support.submission import submit_film
from tests.support.worker_process import WorkerProcess

MEBIBYTE = 1024**2
NewWorker = Callable[..., WorkerProcess]


@pytest.fixture(scope="module")
def explaining_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_explaining_bundle(tmp_path_factory.mktemp("bundles") / "explaining")


@pytest.fixture
def new_worker(redis_server: RedisServer, explaining_bundle: Path, spool: Spool, tmp_path: Path) -> Iterator[NewWorker]:
    """Makes workers on this test's queue and spool; kills what is left of them."""
    workers: list[WorkerProcess] = []

    def make(*, module: str = "services.worker", **settings: object) -> WorkerProcess:
        directory = tmp_path / f"worker-{len(workers)}"
        directory.mkdir()
        defaults = {
            "CXR_REDIS_URL": redis_server.url,
            "CXR_SPOOL_DIRECTORY": tmp_path / "spool",
            "CXR_SPOOL_MINIMUM_FREE_RATIO": 0.0,
            "CXR_WORKER_BUNDLE": explaining_bundle,
            "CXR_WORKER_METRICS_PORT": 0,
            "CXR_WORKER_DECODERS": 1,
            "CXR_WORKER_THREADS": 1,
            "CXR_WORKER_HEARTBEAT_SECONDS": 0.3,
            "CXR_WORKER_IDLE_SECONDS": 2.0,
        }
        workers.append(WorkerProcess(directory, module=module, **(defaults | settings)))
        return workers[-1]

    yield make
    for worker in workers:
        worker.kill()


@pytest.fixture
async def client(redis_server: RedisServer, spool: Spool, tmp_path: Path) -> AsyncIterator[httpx.Client]:
    """A gateway on this test's queue and spool."""
    with GatewayProcess(tmp_path, redis_url=redis_server.url) as gateway:
        gateway.wait_ready()
        with gateway.client() as client:
            yield client
        assert "request failed" not in gateway.output


def noise_film(side: int) -> bytes:
    """A film that no codec can make small."""
    return png_film(np.random.default_rng(side).integers(0, 256, (side, side), dtype=np.uint8))


def white_film(seed: int) -> bytes:
    """A film with contrast, but unlike all that the explaining bundle knows."""
    return png_film(np.random.default_rng(seed).integers(240, 256, (128, 128), dtype=np.uint8))


def picture_files(spool_directory: Path) -> list[str]:
    suffixes = (path.suffix.partition("-")[0] for path in spool_directory.rglob("*"))
    return sorted(suffix for suffix in suffixes if suffix in (".preview", ".heatmap"))


def connections(redis: Redis) -> set[str]:
    return {client["id"] for client in redis.client_list()}


def lost_pictures(worker: WorkerProcess) -> dict[tuple[str, str], float]:
    lines = re.findall(r'cxr_pictures_lost_total\{code="(\w+)",picture="(\w+)"\} (\S+)', worker.get("/metrics")[1])
    return {(picture, code): float(count) for code, picture, count in lines}


def answer(client: httpx.Client, job: Job, picture: str) -> tuple[int, str]:
    response = client.get(f"/v1/instances/{job.id}/{picture}.png")
    is_picture = response.headers["content-type"] == "image/png"
    return response.status_code, "png" if is_picture else response.json()["code"]


async def test_a_film_unlike_those_that_the_model_knows_is_not_assessed(
    new_worker: NewWorker, queue: JobQueue, spool: Spool, client: httpx.Client
) -> None:
    worker = new_worker()
    worker.start()
    strange, usual = await submit_film(queue, spool, white_film(1)), await submit_film(queue, spool, png_film(seed=1))
    records = await all_done(queue, [strange, usual])
    record = records[strange.id]
    assert record.reason is Reason.OUT_OF_DISTRIBUTION
    assert (record.probability, record.threshold, record.findings, record.policy) == (None, None, None, None)
    assert record.model == records[usual.id].model, "the model that looked at it is named"
    assert record.links.heatmap is None
    assert answer(client, strange, "preview") == (200, "png")
    assert answer(client, strange, "heatmap") == (409, "film_not_assessed")
    assert records[usual.id].probability is not None
    assert answer(client, usual, "heatmap") == (200, "png")
    counted = 'cxr_gate_total{reason="out_of_distribution"} 1.0'
    await eventually(lambda: counted in worker.get("/metrics")[1])  # after Redis has the outcome


async def test_an_activation_that_is_not_finite_costs_the_heat_map_only(
    new_worker: NewWorker, queue: JobQueue, spool: Spool, client: httpx.Client, tmp_path: Path
) -> None:
    bundle = write_explaining_bundle(tmp_path / "nan", cam_gain=float("nan"))
    worker = new_worker(CXR_WORKER_BUNDLE=bundle)
    worker.start()
    job = await submit_film(queue, spool, png_film(seed=2))
    record = (await all_done(queue, [job]))[job.id]
    assert record.probability is not None
    assert answer(client, job, "preview") == (200, "png")
    assert answer(client, job, "heatmap") == (404, "picture_absent")
    assert lost_pictures(worker) == {("heatmap", "not_finite"): 1.0}


async def test_pictures_without_room_cost_the_pictures_and_not_the_decision(
    new_worker: NewWorker, queue: JobQueue, spool: Spool, client: httpx.Client, tmp_path: Path
) -> None:
    # A fifth of the quota is 205 KiB: too little for 750 by 750 pixels, whatever the film ends with.
    large, small = await submit_film(queue, spool, noise_film(750)), await submit_film(queue, spool, noise_film(200))
    blank = await submit_film(queue, spool, png_film(np.full((750, 750), 9, np.uint8)))
    worker = new_worker(CXR_SPOOL_QUOTA_BYTES=MEBIBYTE)
    worker.start()
    records = await all_done(queue, [large, small, blank])
    assert records[blank.id].reason is Reason.BLANK
    assert records[blank.id].timings_ms.decode is not None
    assert answer(client, blank, "preview") == (404, "picture_absent")
    assert answer(client, blank, "heatmap") == (409, "film_not_assessed")
    assert records[large.id].probability is not None
    assert answer(client, large, "preview") == (404, "picture_absent")
    assert answer(client, large, "heatmap") == (404, "picture_absent")
    assert records[small.id].probability is not None
    assert answer(client, small, "heatmap") == (200, "png")
    assert lost_pictures(worker) == {("preview", "spool_full"): 2.0}
    assert picture_files(tmp_path / "spool") == [".heatmap", ".preview"]
    assert list((tmp_path / "spool" / "tmp").iterdir()) == []


async def test_worker_killed_after_the_preview_was_written_leaves_a_film_that_the_next_finishes(
    new_worker: NewWorker, queue: JobQueue, spool: Spool, redis_server: RedisServer, tmp_path: Path
) -> None:
    slow = await submit_film(queue, spool, noise_film(300))
    (told := tmp_path / "told").mkdir()
    directions = Directions(told)
    directions.hold()
    first = new_worker(module="tests.support.directed_worker", **{DIRECTORY_VARIABLE: told})
    second = new_worker()
    with redis_server.client() as redis:
        others = connections(redis)
        first.start()
        await eventually(lambda: bool(directions.attempts()))
        # Scoring goes on; the script that would finish the film waits.
        redis.client_pause(60_000, all=False)
        directions.go_on()
        await eventually(lambda: ".preview" in picture_files(tmp_path / "spool"))
        first.kill()
        # Else Redis may hear of both at once, and runs what waited before it sees that nobody waits for it.
        await eventually(lambda: connections(redis) <= others)
        redis.client_unpause()
    record = await queue.record(slow.id)
    assert (record.outcome, record.links.preview, record.links.heatmap) == (None, None, None)
    second.start()
    record = (await all_done(queue, [slow]))[slow.id]
    assert record.probability is not None
    assert None not in (record.links.preview, record.links.heatmap)
    assert picture_files(tmp_path / "spool") == [".heatmap", ".preview"]
    (kept,) = journal(spool)
    assert kept == slow


async def test_pictures_end_with_their_payload(
    new_worker: NewWorker, queue: JobQueue, spool: Spool, client: httpx.Client, tmp_path: Path
) -> None:
    new_worker().start()
    job = await submit_film(queue, spool, png_film(seed=4))
    record = (await all_done(queue, [job]))[job.id]
    assert answer(client, job, "heatmap") == (200, "png")
    before = time.time() - UNCLAIMED_SECONDS - 1
    os.utime(spool.read(job), (before, before))
    await reconcile(queue, spool, retention=Retention(scored_seconds=0.0))
    assert [path for path in (tmp_path / "spool").rglob("*") if path.is_file()] == []
    assert answer(client, job, "preview") == answer(client, job, "heatmap") == (410, "picture_gone")
    assert (await queue.record(job.id)).probability == record.probability


async def test_the_heat_map_of_another_film_is_never_shown(
    new_worker: NewWorker, queue: JobQueue, spool: Spool, client: httpx.Client
) -> None:
    new_worker().start()
    films = [await submit_film(queue, spool, png_film(seed=seed)) for seed in (6, 7)]
    await all_done(queue, films)
    for film in films:
        assert answer(client, film, "heatmap") == (200, "png")
    first, second = (next(spool.read(film).parent.glob(f"{film.payload}.heatmap-*")) for film in films)
    second.write_bytes(first.read_bytes())
    assert answer(client, films[1], "heatmap") == (410, "picture_gone")
    assert answer(client, films[0], "heatmap") == (200, "png")


async def test_a_kept_picture_that_was_damaged_is_never_shown(
    new_worker: NewWorker, queue: JobQueue, spool: Spool, client: httpx.Client
) -> None:
    new_worker().start()
    job = await submit_film(queue, spool, png_film(seed=5))
    await all_done(queue, [job])
    (heat,) = spool.read(job).parent.glob(f"{job.payload}.{Picture.HEATMAP}-*")
    heat.write_bytes(bytes(heat.stat().st_size))
    assert answer(client, job, "heatmap") == (410, "picture_gone")
    assert answer(client, job, "preview") == (200, "png")
