"""Beside the deliveries: which targets there are is told to Redis, and how far behind they are to whoever scrapes."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Final

from services.delivery import metrics
from services.jobs.delivery_outbox import DeliveryOutbox
from services.jobs.errors import QueueUnavailable
from services.jobs.probes import Readiness

_EVERY_SECONDS: Final = 5.0
_AWAY_SECONDS: Final = 0.5


class Standing:
    """Announces the targets again and again: a Redis that has forgotten them would enter nothing for them."""

    def __init__(self, outbox: DeliveryOutbox, targets: Collection[str], readiness: Readiness) -> None:
        self._outbox = outbox
        self._targets = targets
        self._readiness = readiness
        self.announced = asyncio.Event()  # from the first time on: what is decided now is delivered

    async def run(self) -> None:
        """Announce and publish, for ever; where Redis is away, go on when it is back."""
        while True:
            try:
                await self._outbox.announce(self._targets)
                self.announced.set()
                metrics.show_standings(await self._outbox.standings())
            except QueueUnavailable:
                self._readiness.set_queue_reachable(False)
                await asyncio.sleep(_AWAY_SECONDS)
            else:
                self._readiness.set_queue_reachable(True)
                await asyncio.sleep(_EVERY_SECONDS)
