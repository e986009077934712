"""A worker of the product's own parts in this process, where a test needs to choose the child or the scorer."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial

from model.gate import GateSpec
from model.manifest import OperatingPoint
from model.preprocessing import PreprocessingSpec
from model.runtime import Precision, Provider
from services.jobs.beat import Beat
from services.jobs.connection import connect_heartbeat, connect_worker
from services.jobs.probes import Readiness
from services.jobs.queue import JobQueue
from services.jobs.records import ModelReference
from services.jobs.settings import RedisSettings
from services.jobs.spool import Spool
from services.worker import metrics
from services.worker.assessment import Assessor
from services.worker.batching import Batcher, BatchPolicy, BatchScorer
from services.worker.consumer import Consumer, ConsumerLimits
from services.worker.decoding.messages import DecodingLimits
from services.worker.decoding.pool import DecodingPool
from services.worker.heartbeat import HeartbeatThread, Watchdog
from services.worker.loading import LoadedBundle
from services.worker.serving import Serving
from services.worker.settling import Settler
from services.worker.switching import ServedBundles
from tests.support.bundles import tiny_manifest

OBEDIENT_CHILD = (sys.executable, "-m", "tests.support.obedient_child")
SERVING = Serving(
    model=ModelReference(name="tiny", version="0.0.1", digest="0" * 64),
    operating_point=OperatingPoint(name="f3", threshold=0.4, evidence="none", positives=0, negatives=0),
    preprocessing=PreprocessingSpec(size=64),
    gate=GateSpec(),
    temperature=1.0,
    embedding_gate=None,
    takes_age_sex=False,
)
RETRY_SECONDS = (0.05, 0.05)


@dataclass(frozen=True, kw_only=True)
class WorkerParts:
    """A running worker; ``stop`` it and await ``consuming``."""

    queue: JobQueue
    stop: asyncio.Event
    consuming: asyncio.Task[None]


def loaded_bundle(scorer: BatchScorer, *, serving: Serving = SERVING) -> LoadedBundle:
    """Return a scorer of a test's own as if a bundle had been loaded."""
    return LoadedBundle(
        scorer=scorer, provider=Provider.CPU, precision=Precision.FP32, manifest=tiny_manifest(), serving=serving
    )


def served_bundles(scorer: BatchScorer, *, watchdog: Watchdog, serving: Serving = SERVING) -> ServedBundles:
    """Serve a scorer of a test's own."""

    def batcher_for(loaded: LoadedBundle) -> Batcher:
        return Batcher(loaded.scorer, policy=BatchPolicy(max_films=4, patience_seconds=0.0), watchdog=watchdog)

    return ServedBundles(loaded_bundle(scorer, serving=serving), batcher_for=batcher_for)


@asynccontextmanager
async def running_worker(
    name: str,
    *,
    redis: RedisSettings,
    spool: Spool,
    scorer: BatchScorer,
    command: Sequence[str] = OBEDIENT_CHILD,
    idle_seconds: float = 30.0,
    decoders: int = 2,
) -> AsyncIterator[WorkerParts]:
    """Run a worker until the block ends, then stop it."""
    stop = asyncio.Event()
    watchdog = Watchdog(seconds=60)
    limits = DecodingLimits(memory_bytes=512 * 1024**2, seconds=30.0, films=100)
    decoding = DecodingPool(size=decoders, limits=limits, command=command)
    async with AsyncExitStack() as stack:
        queue = JobQueue(await stack.enter_async_context(connect_worker(redis)), retry_seconds=RETRY_SECONDS)
        beat = partial(Beat(stack.enter_context(connect_heartbeat(redis))), name)
        heartbeat = HeartbeatThread(beat, every_seconds=0.1, watchdog=watchdog)
        heartbeat.start()
        stack.callback(heartbeat.end)
        await decoding.start()
        stack.push_async_callback(decoding.close)
        bundles = served_bundles(scorer, watchdog=watchdog)
        readiness = Readiness(metrics.READY.set)
        settler = Settler(
            name,
            queue=queue,
            assessor=Assessor(spool=spool, decoding=decoding, bundles=bundles, chosen=lambda site, digest: None),
            heartbeat=heartbeat,
            readiness=readiness,
            model=lambda: bundles.model,
            max_crashes=3,
        )
        consumer = Consumer(
            name,
            queue=queue,
            settler=settler,
            heartbeat=heartbeat,
            readiness=readiness,
            limits=ConsumerLimits(in_flight=8, idle_seconds=idle_seconds, drain_seconds=0.5),
        )
        batching = asyncio.create_task(bundles.run())
        consuming = asyncio.create_task(consumer.run(stop))
        try:
            yield WorkerParts(queue=queue, stop=stop, consuming=consuming)
        finally:
            stop.set()
            await consuming
            batching.cancel()
            await asyncio.gather(batching, return_exceptions=True)
