"""Builds delivery from its settings and runs it. The only place where its parts meet.

All that can be wrong with this installation (targets, credentials, packages, port) ends the process before Redis is
asked for anything. Redis is waited for: machines start together in any order.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from contextlib import AsyncExitStack, closing
from typing import Final

from redis.asyncio import Redis

from services.delivery import metrics
from services.delivery.channels import Channel, open_channel
from services.delivery.circuit import Circuit
from services.delivery.configuration import Configuration
from services.delivery.standing import Standing
from services.delivery.target_loop import Patience, TargetLoop
from services.delivery.waiting import Backoff
from services.jobs.connection import connect_worker
from services.jobs.delivery_outbox import DeliveryOutbox
from services.jobs.ending import end
from services.jobs.ledger.heads import running_trail
from services.jobs.ledger.trail import AuditTrail
from services.jobs.probes import ProbeServer, Readiness
from services.jobs.settings import DeliverySettings
from services.jobs.spool import Spool

logger = logging.getLogger(__name__)

_FINISHING_SECONDS: Final = 5.0  # for what is under way at a stop; then it is given back
_GIVING_BACK_SECONDS: Final = 3.0
_BUILDING_SECONDS: Final = 60.0  # objects are made before they are sent; the lease covers both


async def serve(configuration: Configuration) -> None:
    """Deliver until SIGTERM or SIGINT.

    Raises
    ------
    SettingsError, DicomExtraMissing, SpoolUnavailable, PortTaken
        If this installation cannot work; nothing was sent.
    """
    settings, names = configuration.delivery, [target.name for target in configuration.targets]
    stop, readiness = _stop_on_signals(), Readiness(metrics.READY.set)
    async with AsyncExitStack() as stack:
        channels = await _channels(stack, configuration)
        probes = stack.enter_context(closing(_probes(readiness, settings)))
        redis = await stack.enter_async_context(connect_worker(configuration.redis))
        audit = AuditTrail(configuration.audit.directory, "delivery")
        metrics.AUDIT_WRITABLE.set_function(lambda: float(audit.is_writable))
        await stack.enter_async_context(running_trail(audit, redis))
        outbox = _outbox(redis, settings)
        metrics.name_targets(names)
        loops = [
            _loop(name, outbox, channel, settings=settings, readiness=readiness, audit=audit)
            for name, channel in zip(names, channels, strict=True)
        ]
        standing = Standing(outbox, names, readiness)
        telling = asyncio.create_task(standing.run())
        try:
            if await _happened(standing.announced, telling, stop):
                readiness.set_started(True)
                facts = {"action": "delivery_started", "targets": len(names), "metrics_port": probes.port}
                logger.info("delivery started", extra=facts)
                await _run(loops, telling, stop)
        finally:
            readiness.set_started(False)
            await end([telling])


async def _happened(event: asyncio.Event, telling: asyncio.Task[None], stop: asyncio.Event) -> bool:
    """Wait for ``event``; return False where ``stop`` was first, and raise what ended ``telling``, which is a bug."""
    waits = [asyncio.create_task(awaited.wait()) for awaited in (event, stop)]
    await asyncio.wait([*waits, telling], return_when=asyncio.FIRST_COMPLETED)
    await end(waits)
    if telling.done():
        telling.result()
    return event.is_set() and not stop.is_set()


async def _run(loops: list[TargetLoop], telling: asyncio.Task[None], stop: asyncio.Event) -> None:
    """Run every loop until ``stop``; where one fails, which is a bug, all of them stop and the error is raised."""
    running = [asyncio.create_task(loop.run(stop)) for loop in loops]
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait([*running, telling, stopping], return_when=asyncio.FIRST_COMPLETED)
    stop.set()
    _, late = await asyncio.wait(running, timeout=_FINISHING_SECONDS)
    for task in late:
        task.cancel()  # once: a second one would interrupt the giving back
    if late:
        await asyncio.wait(late, timeout=_GIVING_BACK_SECONDS)
    await end([stopping])
    for task in (*running, telling):
        if task.done() and not task.cancelled():
            task.result()


def _stop_on_signals() -> asyncio.Event:
    """Return what SIGTERM and SIGINT set from now on; until now they ended the process."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return stop


async def _channels(stack: AsyncExitStack, configuration: Configuration) -> list[Channel]:
    settings, spool = configuration.delivery, Spool.of(configuration.spool)
    channels = []
    for target in configuration.targets:
        channel = open_channel(target, spool, seconds=settings.send_seconds, connections=settings.concurrency)
        stack.push_async_callback(channel.close)
        channels.append(channel)
    return channels


def _probes(readiness: Readiness, settings: DeliverySettings) -> ProbeServer:
    return ProbeServer(readiness, host=settings.metrics_host, port=settings.metrics_port, registry=metrics.REGISTRY)


def _outbox(redis: Redis, settings: DeliverySettings) -> DeliveryOutbox:
    return DeliveryOutbox(redis, lease_ms=int(1000 * (settings.send_seconds + _BUILDING_SECONDS)))


def _loop(
    name: str,
    outbox: DeliveryOutbox,
    channel: Channel,
    *,
    settings: DeliverySettings,
    readiness: Readiness,
    audit: AuditTrail,
) -> TargetLoop:
    pauses = Backoff(first_seconds=settings.first_wait_seconds, longest_seconds=settings.probe_seconds)
    waits = Backoff(first_seconds=settings.first_wait_seconds, longest_seconds=settings.longest_wait_seconds)
    return TargetLoop(
        name,
        outbox=outbox,
        channel=channel,
        circuit=Circuit(failures=settings.circuit_failures, width=settings.concurrency, pauses=pauses),
        patience=Patience(attempts=settings.attempts, hours=settings.give_up_hours, backoff=waits),
        readiness=readiness,
        audit=audit,
        idle_seconds=settings.idle_seconds,
    )
