"""Builds the listener from its settings and runs it. The only place where its parts meet.

It listens although Redis or the disk are away: senders get A700H then, and come again. A listener that was not there
would look like a fault of the network to them.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import Callable
from contextlib import AsyncExitStack, closing
from typing import Final

from services.dimse import metrics
from services.dimse.arriving import ArrivalLimits
from services.dimse.configuration import Configuration
from services.dimse.errors import ListenerEnded
from services.dimse.listener import Listener
from services.dimse.refusals import Refusals
from services.dimse.storing import FilmStore
from services.jobs.connection import connect_gateway
from services.jobs.ending import end
from services.jobs.errors import JobsError, QueueUnsafe
from services.jobs.ledger.heads import running_trail
from services.jobs.ledger.trail import AuditTrail
from services.jobs.probes import ProbeServer, Readiness
from services.jobs.queue import JobQueue
from services.jobs.reconcile import limits_of
from services.jobs.spool import Spool

logger = logging.getLogger(__name__)

_LOOK_SECONDS: Final = 2.0
_DISK_SECONDS: Final = 5.0


async def serve(configuration: Configuration) -> None:
    """Take films until SIGTERM or SIGINT; then end the process with 0.

    Raises
    ------
    SettingsError, PortTaken, SpoolUnavailable
        If this installation cannot listen; nothing was taken.
    ListenerEnded
        If connections are not accepted any more, for whatever reason.
    """
    settings, stop = configuration.dimse, _stop_on_signals()
    async with AsyncExitStack() as stack:
        readiness = Readiness(metrics.READY.set)
        probes = stack.enter_context(
            closing(
                ProbeServer(
                    readiness, host=settings.metrics_host, port=settings.metrics_port, registry=metrics.REGISTRY
                )
            )
        )
        redis = await stack.enter_async_context(connect_gateway(configuration.redis))
        queue, spool = JobQueue(redis, limits=limits_of(configuration.api)), Spool.of(configuration.spool)
        audit = AuditTrail(configuration.audit.directory, "dimse")
        metrics.AUDIT_WRITABLE.set_function(lambda: float(audit.is_writable))
        await stack.enter_async_context(running_trail(audit, redis))
        store = _store(configuration, queue=queue, spool=spool, audit=audit)
        await _look(queue, store, readiness)
        listener = Listener(settings, store=store, refusals=Refusals(audit))
        ports = {"port": listener.port, "metrics_port": probes.port}
        logger.info("dimse listener started", extra={"action": "dimse_started", **ports})
        try:
            await _watch(listener, queue, store, disk=_Disk(spool.probe), readiness=readiness, stop=stop)
        finally:
            readiness.set_started(False)
            await asyncio.to_thread(listener.stop, seconds=settings.stop_seconds)
    logger.info("dimse listener stopped", extra={"action": "dimse_stopped"})
    # All is answered and written. Python would wait for threads now, for ever where a sender or a disk hangs.
    os._exit(0)


def _stop_on_signals() -> asyncio.Event:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return stop


def _store(configuration: Configuration, *, queue: JobQueue, spool: Spool, audit: AuditTrail) -> FilmStore:
    film_seconds = configuration.dimse.film_seconds
    return FilmStore(
        spool=spool,
        queue=queue,
        audit=audit,
        callers=configuration.dimse.callers,
        limits=ArrivalLimits(film_bytes=configuration.api.max_payload_bytes, film_seconds=film_seconds),
        loop=asyncio.get_running_loop(),
    )


async def _watch(
    listener: Listener, queue: JobQueue, store: FilmStore, *, disk: _Disk, readiness: Readiness, stop: asyncio.Event
) -> None:
    """Return at ``stop``; until then look at Redis and the spool now and then. Raises ``ListenerEnded``."""
    stopped = asyncio.create_task(stop.wait())
    try:
        while not stop.is_set():
            if not listener.is_listening:
                raise ListenerEnded("connections are not accepted any more")
            await _look(queue, store, readiness)
            readiness.set_started(await disk.is_writable())
            await asyncio.wait([stopped], timeout=_LOOK_SECONDS)
    finally:
        await end([stopped])


async def _look(queue: JobQueue, store: FilmStore, readiness: Readiness) -> None:
    """Find out whether Redis keeps what it acknowledges; one that could lose a film is given none."""
    try:
        await queue.check_durability()
    except JobsError as error:
        readiness.set_queue_reachable(False)
        # One that does not answer is asked again for each film: it may be back before the next look.
        store.trouble = error if isinstance(error, QueueUnsafe) else None
    else:
        readiness.set_queue_reachable(True)
        store.trouble = None


class _Disk:
    """Whether a film could be written now; says once in the log that none can. A disk that hangs is asked once."""

    def __init__(self, probe: Callable[[], None]) -> None:
        self._probe = probe
        self._asked: asyncio.Task[None] | None = None
        self._trouble: str | None = None

    async def is_writable(self) -> bool:
        """Return what the disk says, or False where it says nothing for seconds."""
        self._asked = self._asked or asyncio.create_task(asyncio.to_thread(self._probe))
        answered, _ = await asyncio.wait([self._asked], timeout=_DISK_SECONDS)
        trouble: str | None = "disk_hangs"
        if answered:
            error, self._asked = self._asked.exception(), None
            if error is not None and not isinstance(error, JobsError):
                raise error
            trouble = error.code if error is not None else None
        if trouble not in (None, self._trouble):
            logger.warning("no film can be written", extra={"action": "spool_unavailable", "code": trouble})
        self._trouble = trouble
        return trouble is None
