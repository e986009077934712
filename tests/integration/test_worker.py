"""A whole worker process on a real queue: what it promises about films, whatever happens to it."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import psutil
import pytest

from model.decision import Outcome
from model.errors import Reason
from model.phantom import chest_phantom
from services.jobs.connection import connect_gateway
from services.jobs.queue import JobQueue
from services.jobs.records import JobState
from services.jobs.spool import Spool
from tests.support.bundles import write_tiny_bundle
from tests.support.directed_worker import DIRECTORY_VARIABLE, Directions
from tests.support.films import png_film
from tests.support.outcomes import all_done, attempted, eventually
from tests.support.redis_server import RedisServer
from tests.support.submission import keep_film, submit_film
from tests.support.told_apart_films import told_apart_films
from tests.support.worker_process import WorkerProcess

NewWorker = Callable[..., WorkerProcess]


@pytest.fixture(scope="module")
def tiny_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_bundle(tmp_path_factory.mktemp("bundles") / "tiny")


def settings_for(server: RedisServer, spool: Path, bundle: Path) -> dict[str, object]:
    return {
        "CXR_REDIS_URL": server.url,
        "CXR_SPOOL_DIRECTORY": spool,
        "CXR_WORKER_BUNDLE": bundle,
        "CXR_WORKER_METRICS_PORT": 0,
        "CXR_WORKER_DECODERS": 1,
        "CXR_WORKER_THREADS": 1,
        "CXR_WORKER_HEARTBEAT_SECONDS": 0.3,
        "CXR_WORKER_IDLE_SECONDS": 2.0,
        "CXR_WORKER_RETRY_SECONDS": [0.1, 0.1],
    }


@pytest.fixture
def new_worker(redis_server: RedisServer, spool: Spool, tiny_bundle: Path, tmp_path: Path) -> Iterator[NewWorker]:
    """Makes workers on this test's queue and spool; kills what is left of them."""
    workers: list[WorkerProcess] = []

    def make(*, module: str = "services.worker", **settings: object) -> WorkerProcess:
        directory = tmp_path / f"worker-{len(workers)}"
        directory.mkdir()
        places = settings_for(redis_server, tmp_path / "spool", tiny_bundle)
        workers.append(WorkerProcess(directory, module=module, **(places | settings)))
        return workers[-1]

    yield make
    for worker in workers:
        worker.kill()


class LastingWorker:
    """A worker with a Redis and a spool of its own, for all tests that only look at films."""

    def __init__(self, redis_binary: Path, directory: Path, bundle: Path) -> None:
        self.server = RedisServer(redis_binary, directory)
        self.server.start()
        self.spool = Spool(directory / "spool", quota_bytes=2**30, minimum_free_ratio=0.0)
        self._worker = WorkerProcess(directory, **settings_for(self.server, directory / "spool", bundle))
        self._worker.start()

    def end(self) -> None:
        self._worker.kill()
        self.server.stop()


@pytest.fixture(scope="module")
def lasting_worker(
    redis_binary: Path, tmp_path_factory: pytest.TempPathFactory, tiny_bundle: Path
) -> Iterator[LastingWorker]:
    worker = LastingWorker(redis_binary, tmp_path_factory.mktemp("lasting"), tiny_bundle)
    yield worker
    worker.end()


@pytest.fixture
def watched_spool(lasting_worker: LastingWorker) -> Spool:
    """The spool of ``lasting_worker``."""
    return lasting_worker.spool


@pytest.fixture
async def watched_queue(lasting_worker: LastingWorker) -> AsyncIterator[JobQueue]:
    """The queue of ``lasting_worker``."""
    async with connect_gateway(lasting_worker.server.settings) as client:
        yield JobQueue(client)


def film(seed: int, *, side: int = 192) -> bytes:
    return png_film(seed=seed, rows=side, columns=side)


@pytest.fixture
def held(tmp_path: Path) -> Directions:
    """Directions by which no batch ends; for the workers that are ``directed_by`` them."""
    (told := tmp_path / "told").mkdir()
    directions = Directions(told)
    directions.hold()
    return directions


def directed_by(directions: Directions) -> dict[str, object]:
    return {"module": "tests.support.directed_worker", DIRECTORY_VARIABLE: directions.directory}


async def test_a_film_is_scored_by_the_bundle_and_decided_by_its_operating_point(
    watched_queue: JobQueue, watched_spool: Spool
) -> None:
    job = await submit_film(watched_queue, watched_spool, film(1))
    record = (await all_done(watched_queue, [job]))[job.id]
    assert record.probability == pytest.approx(float(chest_phantom(1, rows=192, columns=192).mean()), abs=0.02)
    assert record.outcome is (Outcome.FLAGGED if record.probability >= 0.4 else Outcome.NOT_FLAGGED)
    assert record.threshold == 0.4
    assert record.policy is not None
    assert (record.policy.name, record.policy.version) == ("f3", 0)
    assert record.attempts == 1
    timings = record.timings_ms
    assert None not in (timings.queue, timings.decode, timings.inference, timings.total)


async def test_corrupt_film_fails_its_own_job_only(watched_queue: JobQueue, watched_spool: Spool) -> None:
    payloads = [film(10), film(11), film(12)[:2000], film(13), film(14)]
    jobs = [await submit_film(watched_queue, watched_spool, payload) for payload in payloads]
    truncated = jobs.pop(2)
    records = await all_done(watched_queue, [*jobs, truncated])
    assert records[truncated.id].outcome is Outcome.NOT_ASSESSED
    assert records[truncated.id].reason is Reason.DECODE_ERROR
    assert records[truncated.id].probability is None
    assert all(records[job.id].probability is not None for job in jobs)


async def test_payload_changed_in_the_spool_ends_payload_digest_however_often_it_is_queued(
    watched_queue: JobQueue, watched_spool: Spool
) -> None:
    job = keep_film(watched_spool, film(20))
    path = watched_spool.read(job)
    payload = bytearray(path.read_bytes())
    payload[-20] ^= 1
    path.write_bytes(payload)
    await watched_queue.submit(job)
    assert (await all_done(watched_queue, [job]))[job.id].reason is Reason.PAYLOAD_DIGEST
    await watched_queue.requeue(job.id)
    assert (await all_done(watched_queue, [job]))[job.id].reason is Reason.PAYLOAD_DIGEST
    assert [past.reason for past in await watched_queue.history(job.id)] == [Reason.PAYLOAD_DIGEST]


async def test_payload_that_stays_away_ends_retries_exhausted(watched_queue: JobQueue, watched_spool: Spool) -> None:
    job = keep_film(watched_spool, film(30))
    watched_spool.read(job).unlink()
    await watched_queue.submit(job)
    record = (await all_done(watched_queue, [job]))[job.id]
    assert record.reason is Reason.RETRIES_EXHAUSTED
    assert record.attempts == 3


async def test_job_of_a_killed_worker_is_scored_by_the_next(
    new_worker: NewWorker, queue: JobQueue, spool: Spool, held: Directions
) -> None:
    job = await submit_film(queue, spool, film(5))
    jobs = [job, *[await submit_film(queue, spool, film(seed)) for seed in range(4)]]
    first, second = new_worker(**directed_by(held)), new_worker()
    first.start()
    await attempted(queue, job, times=1)
    first.kill()
    second.start()
    records = await all_done(queue, jobs)
    assert all(record.probability is not None for record in records.values())
    assert records[job.id].attempts == 2


async def test_a_stopped_worker_exits_cleanly_and_burns_no_attempt(
    new_worker: NewWorker, queue: JobQueue, spool: Spool, held: Directions
) -> None:
    jobs = [await submit_film(queue, spool, film(seed)) for seed in range(60)]
    first, second = new_worker(**directed_by(held)), new_worker()
    first.start()
    await eventually(lambda: bool(held.attempts()))
    assert first.terminate() == 0
    assert (await queue.statistics()).open == len(jobs), "also those of the batch that did not end are given back"
    second.start()
    records = await all_done(queue, jobs)
    assert {record.attempts for record in records.values()} == {1}
    assert not any(event.get("action") == "job_taken_over" for event in second.events())


async def test_a_stopped_worker_finishes_what_is_under_way(
    new_worker: NewWorker, queue: JobQueue, spool: Spool, held: Directions
) -> None:
    job = await submit_film(queue, spool, film(1))
    worker = new_worker(**directed_by(held))
    worker.start()
    await eventually(lambda: bool(held.attempts()))
    worker.process.send_signal(signal.SIGTERM)
    held.go_on()
    assert worker.terminate() == 0
    assert (await queue.record(job.id)).state is JobState.DONE


async def test_a_worker_that_is_told_to_stop_again_and_again_still_ends_with_0(new_worker: NewWorker) -> None:
    worker = new_worker()
    worker.start()

    def has_ended() -> bool:
        worker.process.send_signal(signal.SIGTERM)
        return worker.process.poll() is not None

    await eventually(has_ended)
    assert worker.process.returncode == 0


async def test_a_worker_waits_for_redis_and_says_so_once(
    new_worker: NewWorker, mortal_redis_server: RedisServer
) -> None:
    mortal_redis_server.kill()
    worker = new_worker(CXR_REDIS_URL=mortal_redis_server.url)
    worker.start(wait=False)
    await eventually(lambda: any(event.get("action") == "queue_unavailable" for event in worker.events()))
    assert worker.get("/health/live")[0] == 200
    assert worker.get("/health/ready")[0] == 503
    mortal_redis_server.start()
    worker.wait_until_ready()
    mortal_redis_server.kill()
    await eventually(lambda: worker.get("/health/ready")[0] == 503)
    mortal_redis_server.start()
    await eventually(worker.is_ready)

    def said() -> list[str]:
        return [event["action"] for event in worker.events() if "queue" in event["action"]]

    await eventually(lambda: len(said()) >= 4)  # it is ready before it says why
    assert said() == ["queue_unavailable", "queue_reachable"] * 2
    assert worker.terminate() == 0


async def test_a_worker_without_redis_still_stops_when_asked(
    new_worker: NewWorker, mortal_redis_server: RedisServer
) -> None:
    worker = new_worker(CXR_REDIS_URL=mortal_redis_server.url)
    worker.start()
    mortal_redis_server.kill()
    await eventually(lambda: worker.get("/health/ready")[0] == 503)
    assert worker.terminate() == 0


async def test_decoding_children_die_with_a_killed_worker(new_worker: NewWorker) -> None:
    worker = new_worker(CXR_WORKER_DECODERS=2)
    worker.start()
    family = psutil.Process(worker.process.pid).children(recursive=True)
    assert len(family) == 3, "a zygote and its two children"
    worker.kill()
    _, alive = psutil.wait_procs(family, timeout=20)
    assert alive == []


def test_a_taken_metrics_port_is_one_line_and_exit_code_2(new_worker: NewWorker) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        worker = new_worker(CXR_WORKER_METRICS_PORT=taken.getsockname()[1])
        worker.start(wait=False)
        assert worker.process.wait(timeout=60) == 2
    (line,) = worker.log_text().splitlines()
    assert line.startswith("cxr-triage worker: port_taken: ")


async def test_a_film_that_kills_every_worker_ends_worker_crash_alone(
    new_worker: NewWorker, queue: JobQueue, spool: Spool, tiny_bundle: Path
) -> None:
    poison, *good = [
        await submit_film(queue, spool, each.payload) for each in told_apart_films(13, tiny_bundle, poisoned=[0])
    ]
    worker = new_worker(module="tests.support.poisoned_worker", CXR_WORKER_IDLE_SECONDS=1.0)
    for _ in range(4):
        worker.start(wait=False)
        assert await asyncio.to_thread(worker.process.wait, 120) == -signal.SIGSEGV
        assert (await queue.record(poison.id)).state is JobState.RUNNING
    worker.start()
    records = await all_done(queue, [poison, *good])
    assert records[poison.id].reason is Reason.WORKER_CRASH
    assert all(records[job.id].probability is not None for job in good)
