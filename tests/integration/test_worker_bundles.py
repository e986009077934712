"""Whole workers and the active bundle: who serves it, who ends because it cannot, and what becomes of their films."""

from __future__ import annotations

import asyncio
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis.asyncio import Redis

from services.commands.activating import ActivationFailed, Operator
from services.jobs.activation import BundleActivation
from services.jobs.bundle_store import BundleStore
from services.jobs.errors import ActivationConflict
from services.jobs.queue import JobQueue
from services.jobs.spool import Spool
from services.worker.heartbeat import EXIT_HUNG
from tests.support.bundles import write_explaining_bundle, write_tiny_bundle
from tests.support.directed_worker import Directions
from tests.support.films import png_film
from tests.support.outcomes import all_done, eventually
from tests.support.redis_server import RedisServer
from tests.support.submission import submit_film
from tests.support.worker_process import WorkerProcess


class Workers:
    """Workers on one queue, spool and store."""

    def __init__(self, directory: Path, server: RedisServer) -> None:
        self._directory = directory
        self._server = server
        self.started: list[WorkerProcess] = []
        self.own = write_tiny_bundle(directory / "own", name="own")

    def start(self, *, wait: bool = True, module: str = "services.worker", **settings: object) -> WorkerProcess:
        directory = self._directory / f"worker-{len(self.started)}"
        directory.mkdir()
        places = {
            "CXR_REDIS_URL": self._server.url,
            "CXR_SPOOL_DIRECTORY": self._directory / "spool",
            "CXR_AUDIT_DIRECTORY": self._directory / "audit",
            "CXR_WORKER_BUNDLE": self.own,
            "CXR_WORKER_BUNDLE_STORE": self._directory / "store",
            "CXR_WORKER_METRICS_PORT": 0,
            "CXR_WORKER_DECODERS": 1,
            "CXR_WORKER_THREADS": 1,
            "CXR_WORKER_HEARTBEAT_SECONDS": 0.3,
        }
        self.started.append(WorkerProcess(directory, module=module, **(places | settings)))
        self.started[-1].start(wait=wait)
        return self.started[-1]


@pytest.fixture
def workers(tmp_path: Path, redis_server: RedisServer) -> Iterator[Workers]:
    made = Workers(tmp_path, redis_server)
    yield made
    for worker in made.started:
        worker.kill()


@pytest.fixture
def store(tmp_path: Path) -> BundleStore:
    return BundleStore(tmp_path / "store")


@pytest.fixture
def activation(redis_client: Redis) -> BundleActivation:
    return BundleActivation(redis_client)


def operator(activation: BundleActivation, queue: JobQueue, *, seconds: float = 60.0) -> Operator:
    return Operator(activation, queue, by="me", seconds=seconds)


async def scored_by(queue: JobQueue, spool: Spool, seed: int) -> str:
    job = await submit_film(queue, spool, png_film(seed=seed))
    record = (await all_done(queue, [job]))[job.id]
    assert record.model is not None, record.reason
    return record.model.name


async def test_every_worker_switches_and_one_that_starts_later_serves_the_same(
    workers: Workers, store: BundleStore, activation: BundleActivation, queue: JobQueue, spool: Spool, tmp_path: Path
) -> None:
    digest = store.put(write_explaining_bundle(tmp_path / "explaining")).digest
    first = workers.start()
    assert await scored_by(queue, spool, 1) == "own"
    await operator(activation, queue).activate(digest, is_tried=False)
    assert await scored_by(queue, spool, 2) == "explaining"
    labels = f'digest="{digest[:12]}",name="explaining",precision="fp32",provider="cpu",role="serving"'
    assert labels in first.get("/metrics")[1]
    assert first.terminate() == 0
    workers.start()
    assert await scored_by(queue, spool, 3) == "explaining"


@pytest.mark.parametrize("is_damaged", [True, False], ids=["damaged", "not in the store"])
async def test_a_worker_that_cannot_load_the_active_bundle_ends_with_one_line_and_others_go_on(
    workers: Workers,
    store: BundleStore,
    activation: BundleActivation,
    queue: JobQueue,
    spool: Spool,
    tmp_path: Path,
    *,
    is_damaged: bool,
) -> None:
    digest = store.put(write_explaining_bundle(tmp_path / "explaining")).digest
    workers.start()
    await operator(activation, queue).activate(digest, is_tried=False)
    network = tmp_path / "store" / digest / "model.onnx"
    if is_damaged:
        network.write_bytes(network.read_bytes() + b"\0")
    else:
        shutil.rmtree(network.parent)
    late = workers.start(wait=False)
    assert await asyncio.to_thread(late.process.wait, 60) == 2
    said = [line for line in late.log_text().splitlines() if not line.startswith("{")]
    assert len(said) == 1
    code = "bundle_corrupt" if is_damaged else "bundle_not_found"
    assert said[0].startswith(f"cxr-triage worker: {code}: ")
    assert await scored_by(queue, spool, 1) == "explaining"


async def test_a_pinned_worker_refuses_and_nothing_changes(
    workers: Workers, store: BundleStore, activation: BundleActivation, queue: JobQueue, spool: Spool, tmp_path: Path
) -> None:
    digest = store.put(write_explaining_bundle(tmp_path / "explaining")).digest
    workers.start()
    pinned = workers.start(CXR_WORKER_BUNDLE_DIGEST=store.put(workers.own).digest)
    with pytest.raises(ActivationFailed, match="CXR_WORKER_BUNDLE_DIGEST pins this worker") as failed:
        await operator(activation, queue).activate(digest, is_tried=False)
    assert failed.value.refusal == "bundle_incompatible"
    assert (await activation.read()).active is None
    assert await scored_by(queue, spool, 1) == "own"
    assert 'cxr_bundles_refused_total{code="bundle_incompatible"} 1.0' in pinned.get("/metrics")[1]


async def test_a_worker_that_runs_but_cannot_serve_what_is_active_gives_its_films_back(
    workers: Workers, store: BundleStore, activation: BundleActivation, queue: JobQueue, spool: Spool, tmp_path: Path
) -> None:
    digest = store.put(write_explaining_bundle(tmp_path / "explaining")).digest
    pinned = workers.start(CXR_WORKER_BUNDLE_DIGEST=store.put(workers.own).digest)
    # As an operator does who did not see this worker: it was not listed at that moment.
    await activation.propose(digest, attempt="one", by="me", seconds=60, seen=await activation.read())
    await activation.activate("one")
    assert await asyncio.to_thread(pinned.process.wait, 60) == 2
    assert "cxr-triage worker: bundle_incompatible: " in pinned.log_text()
    assert any(event.get("action") == "jobs_released" for event in pinned.events())
    workers.start()
    assert await scored_by(queue, spool, 1) == "explaining"


async def test_a_worker_that_has_to_give_up_ends_although_a_batch_does_not_return(
    workers: Workers, activation: BundleActivation, queue: JobQueue, spool: Spool, tmp_path: Path
) -> None:
    (told := tmp_path / "told").mkdir()
    directions = Directions(told)
    directions.hold()
    held = workers.start(module="tests.support.directed_worker", TRIAGE_TEST_DIRECTIONS=told)
    job = await submit_film(queue, spool, png_film(seed=1))
    await eventually(lambda: bool(directions.attempts()))
    await activation.propose("0" * 64, attempt="one", by="me", seconds=60, seen=await activation.read())
    await activation.activate("one")
    assert await asyncio.to_thread(held.process.wait, 60) == EXIT_HUNG
    assert (await queue.record(job.id)).attempts == 0, "given back"


async def test_a_worker_that_dies_before_it_has_prepared_is_a_refusal(
    workers: Workers, store: BundleStore, activation: BundleActivation, queue: JobQueue, spool: Spool, tmp_path: Path
) -> None:
    digest = store.put(write_explaining_bundle(tmp_path / "explaining")).digest
    workers.start()
    doomed = workers.start()
    # Stopped, so that it cannot be quicker than its death.
    doomed.process.send_signal(signal.SIGSTOP)
    activating = asyncio.create_task(operator(activation, queue, seconds=100).activate(digest, is_tried=False))
    await eventually(lambda: any(event.get("state") == "prepared" for event in workers.started[0].events()))
    doomed.kill()
    with pytest.raises(ActivationFailed) as failed:
        await activating
    assert failed.value.refusal == "worker_died"
    assert (await activation.read()).active is None
    assert await scored_by(queue, spool, 1) == "own"


async def test_without_an_answer_in_time_nothing_changes(
    workers: Workers, store: BundleStore, activation: BundleActivation, queue: JobQueue, spool: Spool, tmp_path: Path
) -> None:
    digest = store.put(write_explaining_bundle(tmp_path / "explaining")).digest
    worker = workers.start()
    worker.process.send_signal(signal.SIGSTOP)
    with pytest.raises(ActivationFailed) as failed:
        await operator(activation, queue, seconds=1.0).activate(digest, is_tried=False)
    worker.process.send_signal(signal.SIGCONT)
    assert failed.value.refusal == "timeout"
    state = await activation.read()
    assert (state.active, state.candidate) == (None, None)
    assert await scored_by(queue, spool, 1) == "own"
    await operator(activation, queue).activate(digest, is_tried=False)
    assert await scored_by(queue, spool, 2) == "explaining"


async def test_without_a_worker_only_what_was_tried_becomes_active(
    workers: Workers, store: BundleStore, activation: BundleActivation, queue: JobQueue, spool: Spool, tmp_path: Path
) -> None:
    digest = store.put(write_explaining_bundle(tmp_path / "explaining")).digest
    with pytest.raises(ActivationFailed, match="untried"):
        await operator(activation, queue).activate(digest, is_tried=False)
    await operator(activation, queue).activate(digest, is_tried=True)
    workers.start()
    assert await scored_by(queue, spool, 1) == "explaining"


async def test_of_two_operators_at_once_one_is_told_to_look_again(
    workers: Workers, store: BundleStore, activation: BundleActivation, queue: JobQueue, tmp_path: Path
) -> None:
    digests = [
        store.put(write_explaining_bundle(tmp_path / "explaining")).digest,
        store.put(write_tiny_bundle(tmp_path / "half", name="half", gain=0.5)).digest,
    ]
    workers.start()
    outcomes = await asyncio.gather(
        *(operator(activation, queue).activate(digest, is_tried=False) for digest in digests), return_exceptions=True
    )
    assert sorted(type(outcome) for outcome in outcomes if outcome is not None) == [ActivationConflict]
    assert (await activation.read()).active in digests
