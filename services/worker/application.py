"""Builds a worker from its settings and runs it. The only place where its parts meet.

Order matters: everything that can be wrong with this installation (bundle, provider, golden inputs, decoding children,
port) ends the process before Redis is asked for anything. Redis itself is waited for, because machines that start
together start in any order.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, closing, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Final

from model.bundle import read_bundle
from model.errors import BundleCorrupt
from model.gate import GateSpec
from model.runtime import Provider, Scorer
from services.jobs.beat import Beat
from services.jobs.connection import connect_heartbeat, connect_worker
from services.jobs.queue import JobQueue
from services.jobs.settings import RedisSettings, SpoolSettings, WorkerSettings
from services.jobs.spool import Spool
from services.jobs.status import WorkerStatus
from services.worker import metrics
from services.worker.assessment import Assessor, Serving
from services.worker.batching import Batcher, BatchPolicy
from services.worker.bundles import default_bundle_directory
from services.worker.consumer import Consumer, ConsumerLimits
from services.worker.decoding_messages import DecodingLimits
from services.worker.decoding_pool import DecodingPool
from services.worker.heartbeat import HeartbeatThread, Watchdog
from services.worker.probes import ProbeServer, Readiness
from services.worker.upkeep import Upkeep

logger = logging.getLogger(__name__)

_MOST_DECODERS: Final = 8


@dataclass(frozen=True, kw_only=True)
class ServedBundle:
    """A bundle that is verified, loaded and has scored its golden inputs on this machine."""

    scorer: Scorer
    serving: Serving


def load_bundle(settings: WorkerSettings) -> ServedBundle:
    """Read, verify and load the bundle, and score its golden inputs again.

    Raises
    ------
    BundleError
        If it is not there, not whole, not the pinned one, or scores differently here.
    ProviderUnavailable
        If the named provider did not become active.
    """
    bundle = read_bundle(settings.bundle or default_bundle_directory())
    if settings.bundle_digest not in (None, bundle.digest):
        raise BundleCorrupt(f"the manifest of {bundle.manifest.name} is not the one that CXR_WORKER_BUNDLE_DIGEST pins")
    gate = GateSpec(minimum_age_years=settings.minimum_age_years, is_age_required=settings.require_age)
    serving = Serving.of(bundle, operating_point=settings.operating_point, gate=gate)
    scorer = Scorer(bundle, provider=Provider(settings.provider), threads=settings.threads)
    scorer.verify_golden()
    return ServedBundle(scorer=scorer, serving=serving)


async def serve(
    served: ServedBundle, *, settings: WorkerSettings, redis_settings: RedisSettings, spool_settings: SpoolSettings
) -> None:
    """Work until SIGTERM or SIGINT.

    Raises
    ------
    DecodingUnavailable, PortTaken, SpoolUnavailable
        If this installation cannot work; nothing was taken.
    """
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    name = f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:6]}"
    readiness = Readiness()
    watchdog = Watchdog(seconds=settings.batch_deadline_seconds)
    spool = Spool(
        spool_settings.directory,
        quota_bytes=spool_settings.quota_bytes,
        minimum_free_ratio=spool_settings.minimum_free_ratio,
    )
    async with AsyncExitStack() as stack:
        probes = stack.enter_context(closing(_probes(readiness, settings)))
        decoding = await stack.enter_async_context(_decoding(settings))
        redis = await stack.enter_async_context(connect_worker(redis_settings))
        queue = JobQueue(redis, retry_seconds=settings.retry_seconds)
        heartbeat = stack.enter_context(_beating(name, redis_settings, settings, watchdog))
        batcher = Batcher(served.scorer, policy=_batch_policy(served, settings), watchdog=watchdog)
        consumer = Consumer(
            name,
            queue=queue,
            assessor=Assessor(spool=spool, decoding=decoding, batcher=batcher, serving=served.serving),
            heartbeat=heartbeat,
            readiness=readiness,
            model=served.serving.model,
            limits=_consumer_limits(served, settings),
        )
        status = _status(name, served, threads=_threads(settings))
        upkeep = Upkeep(queue, spool, status=status, readiness=readiness, watchdog=watchdog, settings=settings)
        _announce_start(name, served, settings, probes)
        if await upkeep.wait_for_redis(stop):
            await _work(consumer, batcher, upkeep, stop)


async def _work(consumer: Consumer, batcher: Batcher, upkeep: Upkeep, stop: asyncio.Event) -> None:
    """Consume until ``stop``; whatever else fails meanwhile ends the worker, so that others take over."""
    async with asyncio.TaskGroup() as group:
        background = [group.create_task(step) for step in (batcher.run(), *upkeep.steps())]
        upkeep.readiness.set_started(True)
        await consumer.run(stop)
        upkeep.readiness.set_started(False)
        for task in background:
            task.cancel()


@asynccontextmanager
async def _decoding(settings: WorkerSettings) -> AsyncIterator[DecodingPool]:
    limits = DecodingLimits(
        memory_bytes=settings.decode_memory_bytes,
        seconds=settings.decode_seconds,
        films=settings.decodes_per_child,
    )
    decoding = DecodingPool(size=_decoders(settings), limits=limits)
    await decoding.start()
    try:
        yield decoding
    finally:
        await decoding.close()


@contextmanager
def _beating(
    name: str, redis_settings: RedisSettings, settings: WorkerSettings, watchdog: Watchdog
) -> Iterator[HeartbeatThread]:
    with connect_heartbeat(redis_settings) as redis:
        beat = partial(Beat(redis), name)
        heartbeat = HeartbeatThread(beat, every_seconds=settings.heartbeat_seconds, watchdog=watchdog)
        heartbeat.start()
        try:
            yield heartbeat
        finally:
            heartbeat.end()


def _probes(readiness: Readiness, settings: WorkerSettings) -> ProbeServer:
    return ProbeServer(readiness, host=settings.metrics_host, port=settings.metrics_port)


def _decoders(settings: WorkerSettings) -> int:
    return settings.decoders or min(os.cpu_count() or 1, _MOST_DECODERS)


def _threads(settings: WorkerSettings) -> int:
    return settings.threads or os.cpu_count() or 1


def _batch_policy(served: ServedBundle, settings: WorkerSettings) -> BatchPolicy:
    return BatchPolicy.for_provider(served.scorer.provider, max_films=settings.max_batch)


def _consumer_limits(served: ServedBundle, settings: WorkerSettings) -> ConsumerLimits:
    return ConsumerLimits(
        # Decoding runs two batches ahead of inference; more would only keep films from other workers.
        in_flight=_decoders(settings) + 2 * _batch_policy(served, settings).max_films,
        idle_seconds=settings.idle_seconds,
        max_crashes=settings.max_crashes,
    )


def _status(name: str, served: ServedBundle, *, threads: int) -> WorkerStatus:
    manifest = served.scorer.manifest
    return WorkerStatus(
        consumer=name,
        beat_ms=0,  # Redis' clock fills it in
        model=served.serving.model,
        provider=served.scorer.provider,
        threads=threads,
        operating_point=served.serving.operating_point.name,
        threshold=served.serving.operating_point.threshold,
        labels=manifest.labels,
        precision=manifest.precision,
        has_heatmap=manifest.explanation is not None,
        has_embedding_gate=manifest.gate is not None,
        probability_rule=manifest.probability_rule,
        inputs=("film", "age", "sex") if served.serving.takes_age_sex else ("film",),
        operating_points=tuple(point.model_dump(mode="json") for point in manifest.operating_points),
    )


def _announce_start(name: str, served: ServedBundle, settings: WorkerSettings, probes: ProbeServer) -> None:
    provider, threads, decoders = str(served.scorer.provider), _threads(settings), _decoders(settings)
    metrics.describe(model=served.serving.model, provider=provider, threads=threads, decoders=decoders)
    facts = {"consumer": name, "bundle": served.serving.model.name, "digest": served.serving.model.digest}
    runs_as = {"provider": provider, "threads": threads, "decoders": decoders, "metrics_port": probes.port}
    logger.info("worker started", extra={"action": "worker_started", **facts, **runs_as})
