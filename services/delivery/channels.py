"""One decision to one target, from the filter to the verdict. Knows the kinds of targets; neither retries nor Redis."""

from __future__ import annotations

import asyncio
from typing import Protocol

from services.delivery.objects import ObjectBuilder
from services.delivery.stow import StowSender
from services.delivery.targets import CStoreTarget, StowTarget, Target, WebhookTarget
from services.delivery.verdicts import NothingToSend, Outcome, Verdict
from services.delivery.webhook import WebhookSender
from services.dicom.files import require_extra
from services.jobs.delivery_outbox import Owed
from services.jobs.spool import Spool


class Channel(Protocol):
    """How one target is reached."""

    async def deliver(self, owed: Owed) -> Outcome:
        """Send what the target is owed; return what became of it."""
        ...

    async def close(self) -> None:
        """Let go of connections and threads."""
        ...


class _ObjectSender(Protocol):
    async def send(self, objects: list[bytes]) -> Verdict: ...

    async def close(self) -> None: ...


class ObjectChannel:
    """Sends reports and overlays, or the note that withdraws them."""

    def __init__(self, target: StowTarget | CStoreTarget, builder: ObjectBuilder, sender: _ObjectSender) -> None:
        self._target = target
        self._builder = builder
        self._sender = sender

    async def deliver(self, owed: Owed) -> Outcome:
        """Build the objects in a thread, and send them."""
        if not concerns(self._target, owed):
            return NothingToSend()
        built = await asyncio.to_thread(self._builder.build, owed)
        return await self._sender.send(built) if isinstance(built, list) else built

    async def close(self) -> None:
        """Close the sender."""
        await self._sender.close()


class MessageChannel:
    """Sends signed messages."""

    def __init__(self, target: WebhookTarget, sender: WebhookSender) -> None:
        self._target = target
        self._sender = sender

    async def deliver(self, owed: Owed) -> Outcome:
        """Send the message of this decision."""
        if not concerns(self._target, owed):
            return NothingToSend()
        return await self._sender.send(owed.record, commit=owed.commit)

    async def close(self) -> None:
        """Close the sender."""
        await self._sender.close()


def concerns(target: Target, owed: Owed) -> bool:
    """Return whether a target is told of this decision: its own outcome passes the filter, or an earlier one's did.

    Who was told `flagged` must hear that it is no more, whatever it asked for: an old flag would stand for ever.
    """
    if not target.wants(owed.record.site):
        return False
    outcomes = {owed.record.outcome, *(decision.outcome for decision in owed.past)}
    return not outcomes.isdisjoint(target.outcomes)


def open_channel(target: Target, spool: Spool, *, seconds: float, connections: int) -> Channel:
    """Return the channel of a target.

    Raises
    ------
    TargetsInvalid
        If a credential or certificate of the target cannot be read.
    DicomExtraMissing
        If it takes DICOM objects, and the packages that make them are not installed.
    """
    if isinstance(target, WebhookTarget):
        return MessageChannel(target, WebhookSender(target, seconds=seconds, connections=connections))
    require_extra()
    builder = ObjectBuilder(spool, kinds=target.objects)
    if isinstance(target, StowTarget):
        return ObjectChannel(target, builder, StowSender(target, seconds=seconds, connections=connections))
    # Imported here: it needs the extra, which a service of webhooks alone may lack.
    from services.delivery.cstore import CStoreSender

    return ObjectChannel(target, builder, CStoreSender(target, seconds=seconds, connections=connections))
