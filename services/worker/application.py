"""Builds a worker from its settings and runs it. The only place where its parts meet.

Order matters: all that can be wrong with this installation (bundle, provider, golden inputs, decoding children, port)
ends the process before Redis is asked for anything. Redis is waited for: machines start together in any order.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import uuid
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, closing, contextmanager
from dataclasses import dataclass
from functools import partial

from services.jobs.activation import BundleActivation
from services.jobs.beat import Beat
from services.jobs.connection import connect_heartbeat, connect_worker
from services.jobs.ending import end
from services.jobs.ledger.outbox import RunningLedger, running_ledger
from services.jobs.ledger.restore import LedgerReader
from services.jobs.operating_tables import OperatingTables
from services.jobs.policies import Policies
from services.jobs.probes import ProbeServer, Readiness
from services.jobs.queue import JobQueue
from services.jobs.reconcile import deadlines_of, reconcile
from services.jobs.settings import RedisSettings, WorkerSettings
from services.jobs.spool import Spool
from services.jobs.status import WorkerStatus
from services.worker import metrics, sizing
from services.worker.announcing import status_of
from services.worker.assessment import Assessor
from services.worker.batching import Batcher
from services.worker.configuration import Configuration
from services.worker.consumer import Consumer, ConsumerLimits
from services.worker.decoding.messages import DecodingLimits
from services.worker.decoding.pool import DecodingPool
from services.worker.following import BundleFollower
from services.worker.heartbeat import HeartbeatThread, Watchdog
from services.worker.loading import BundleLoader, LoadedBundle
from services.worker.policies import PolicyFollower
from services.worker.settling import Settler
from services.worker.stopping import end_soon, stop_on_signals
from services.worker.switching import ServedBundles
from services.worker.upkeep import Upkeep

logger = logging.getLogger(__name__)


async def serve(loader: BundleLoader, configuration: Configuration) -> None:
    """Work until SIGTERM or SIGINT, with the configured bundle until Redis names another; then end the process with 0.

    Raises
    ------
    BundleError, ProviderUnavailable, DecodingUnavailable, SandboxUnavailable, PortTaken, SpoolUnavailable
        If this installation cannot work; nothing was taken. Or an active bundle here; what was held is released.
    """
    settings = configuration.worker
    watchdog = Watchdog(seconds=settings.batch_deadline_seconds)
    metrics.name_sites(configuration.queue.sites)
    decoding = _decoding(settings)
    configured = await _started(decoding, loader)
    try:
        async with AsyncExitStack() as stack:
            stack.push_async_callback(decoding.close)
            stop = stop_on_signals()
            bundles = ServedBundles(configured, batcher_for=partial(_batcher, settings=settings, watchdog=watchdog))
            worker = await _assemble(
                stack, bundles, loader, configuration, decoding=decoding, watchdog=watchdog, stop=stop
            )
            metrics.AUDIT_WRITABLE.set_function(lambda: float(worker.ledger.trail.is_writable))
            if await worker.upkeep.wait_for_redis(stop):
                await _work(worker, stop)
            if worker.upkeep.follower.failure is not None:
                raise worker.upkeep.follower.failure
    except BaseException:
        end_soon()
        raise
    # Films are given back, the trail is written, everything is closed. Python would wait for threads now, for ever
    # where a batch or a disk hangs, and a second SIGTERM would find no handler any more.
    os._exit(0)


async def _started(decoding: DecodingPool, loader: BundleLoader) -> LoadedBundle:
    """Start the decoding children and load the bundle side by side: a restarted worker's films wait for both."""
    starting = asyncio.create_task(decoding.start())
    try:
        configured = await asyncio.to_thread(loader.load_configured)
        await starting
    except BaseException:
        await end([starting])
        await decoding.close()
        raise
    return configured


@dataclass(frozen=True, kw_only=True)
class _Worker:
    """What runs until a stop."""

    consumer: Consumer
    bundles: ServedBundles
    upkeep: Upkeep
    ledger: RunningLedger


async def _assemble(
    stack: AsyncExitStack,
    bundles: ServedBundles,
    loader: BundleLoader,
    configuration: Configuration,
    *,
    decoding: DecodingPool,
    watchdog: Watchdog,
    stop: asyncio.Event,
) -> _Worker:
    """Put a worker together; what it holds open is closed with ``stack``, in the reverse order."""
    settings, name = configuration.worker, f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:6]}"
    readiness, spool = Readiness(metrics.READY.set), Spool.of(configuration.spool)
    probes = stack.enter_context(closing(_probes(readiness, settings)))
    redis = await stack.enter_async_context(connect_worker(configuration.redis))
    ledger = await stack.enter_async_context(running_ledger(redis, configuration.audit, "worker"))
    queue = JobQueue(redis, retry_seconds=settings.retry_seconds)
    heartbeat = stack.enter_context(_beating(name, configuration.redis, settings, watchdog))
    follower = BundleFollower(BundleActivation(redis), loader=loader, bundles=bundles, give_up=stop.set)
    policies = PolicyFollower(Policies(redis), OperatingTables(redis), bundles=bundles)
    assessor = Assessor(
        spool=spool, decoding=decoding, bundles=bundles, chosen=policies.chosen, resolution=settings.decode_resolution
    )
    consumer = _consumer(name, queue, assessor, bundles, heartbeat=heartbeat, readiness=readiness, settings=settings)
    deadlines, reader = deadlines_of(configuration.queue), LedgerReader(redis, ledger.trail)
    upkeep = Upkeep(
        queue,
        compare=partial(reconcile, queue, spool, deadlines=deadlines, ledger=reader),
        follower=follower,
        policies=policies,
        status=_teller(
            name, bundles, follower, decoding, threads=sizing.all_threads(bundles.serving.provider, settings)
        ),
        readiness=readiness,
        watchdog=watchdog,
        settings=settings,
    )
    _announce_start(name, bundles.serving, settings, probes, sandbox=decoding.sandbox)
    return _Worker(consumer=consumer, bundles=bundles, upkeep=upkeep, ledger=ledger)


def _consumer(
    name: str,
    queue: JobQueue,
    assessor: Assessor,
    bundles: ServedBundles,
    *,
    heartbeat: HeartbeatThread,
    readiness: Readiness,
    settings: WorkerSettings,
) -> Consumer:
    settler = Settler(
        name,
        queue=queue,
        assessor=assessor,
        heartbeat=heartbeat,
        readiness=readiness,
        model=lambda: bundles.model,
        max_crashes=settings.max_crashes,
    )
    in_flight = sizing.films_in_flight(bundles.serving.provider, settings)
    limits = ConsumerLimits(in_flight=in_flight, idle_seconds=settings.idle_seconds)
    return Consumer(name, queue=queue, settler=settler, heartbeat=heartbeat, readiness=readiness, limits=limits)


def _teller(
    name: str, bundles: ServedBundles, follower: BundleFollower, decoding: DecodingPool, *, threads: int
) -> Callable[[], WorkerStatus]:
    def tell() -> WorkerStatus:
        return status_of(
            name, bundles.serving, preparation=follower.preparation, threads=threads, sandbox=decoding.sandbox
        )

    return tell


async def _work(worker: _Worker, stop: asyncio.Event) -> None:
    """Consume until ``stop``; whatever else fails meanwhile ends the worker, so that others take over."""
    steps = (worker.bundles.run(), *worker.upkeep.steps(), *worker.ledger.steps())
    async with asyncio.TaskGroup() as group:
        background = [group.create_task(step) for step in steps]
        worker.upkeep.readiness.set_started(True)
        await worker.consumer.run(stop)
        worker.upkeep.readiness.set_started(False)
        if left := await end(background):
            fields = {"action": "tasks_abandoned", "tasks": len(left)}
            logger.warning("background tasks did not end", extra=fields)


def _batcher(loaded: LoadedBundle, *, settings: WorkerSettings, watchdog: Watchdog) -> Batcher:
    policy = sizing.batch_policy(loaded.provider, settings)
    return Batcher(loaded.scorer, policy=policy, watchdog=watchdog, new_memory=loaded.new_batch_memory)


def _decoding(settings: WorkerSettings) -> DecodingPool:
    limits = DecodingLimits(
        memory_bytes=settings.decode_memory_bytes,
        seconds=settings.decode_seconds,
        films=settings.decodes_per_child,
    )
    return DecodingPool(size=sizing.decoders(settings), limits=limits, requires_sandbox=settings.require_sandbox)


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


def _announce_start(
    name: str, configured: LoadedBundle, settings: WorkerSettings, probes: ProbeServer, *, sandbox: str
) -> None:
    provider, decoders = str(configured.provider), sizing.decoders(settings)
    threads = sizing.all_threads(configured.provider, settings)
    metrics.describe(provider=provider, threads=threads, decoders=decoders, sandbox=sandbox)
    model = configured.serving.model
    facts = {"consumer": name, "bundle": model.name, "digest": model.digest}
    runs_as = {"provider": provider, "threads": threads, "decoders": decoders, "metrics_port": probes.port}
    runs_as |= {"precision": str(configured.precision), "sandbox": sandbox}
    logger.info("worker started", extra={"action": "worker_started", **facts, **runs_as})
