"""A STOW-RS request taken in: its instances one after the other, each durable before it counts as stored.

What was whole when a request breaks off is kept, of the rest nothing. Says what became of each; how that is answered is
the business of ``store_replies`` and the route.
"""

from __future__ import annotations

import asyncio

from fastapi import Request

from model.decoding.header import Header
from model.decoding.key_object import read_key_object
from model.errors import ImageError
from services.api.access.guard import address_of
from services.api.errors import MalformedMultipart, PayloadTooLarge
from services.api.gateway import Gateway
from services.api.metrics import ACCEPTED, KEY_OBJECT, KNOWN, SOURCE_STOW
from services.api.parts import FailedPart, ReceivedPart, WholePart
from services.api.scopes import Caller
from services.api.store_replies import Failed, Outcome, Stored
from services.api.uploads import SMALL_BYTES
from services.dicom.codes import KEY_OBJECTS, TAKEN_CLASSES
from services.dicom.errors import DicomError, InstanceUnidentified, SopClassNotTaken, StudyMismatch
from services.jobs.errors import JobsError, QueueFull, QueueUnavailable, RecordCorrupt, SiteShareUsed
from services.jobs.ingest import Placement, ingest, job_of, warn_of_revision
from services.jobs.ledger.entries import AuditEvent
from services.jobs.rejection import reject


class Storing:
    """One request: takes its instances one after the other, and remembers what became of each."""

    def __init__(self, request: Request, gateway: Gateway, placement: Placement) -> None:
        self._request = request
        self._gateway = gateway
        self._placement = placement
        self._outcomes: list[Outcome] = []
        self._outage: QueueUnavailable | None = None

    async def receive(self, caller: Caller) -> list[Outcome]:
        """Return what became of each instance; raise where the request failed as a whole, and nothing was stored.

        A caller that hangs up, or is too slow, gets an error in any case: it did not send what it meant to.
        """
        quotas = self._gateway.quotas
        with quotas.upload(caller):
            async with self._gateway.uploads.receive_each(self._request) as parts:
                await self._check_room()
                try:
                    async for part in parts:
                        if self._outcomes:
                            await quotas.next_film(caller)
                        self._outcomes.append(await self._take(part))
                except (MalformedMultipart, PayloadTooLarge) as error:
                    if not self._has_stored():
                        raise
                    self._outcomes.append(self._failed(Failed(error=error)))
        return self._outcomes

    def _has_stored(self) -> bool:
        return any(isinstance(outcome, Stored) for outcome in self._outcomes)

    async def _check_room(self) -> None:
        """Look whether there is room before a large body is read; a small one is looked up, film by film."""
        declared = self._request.headers.get("content-length", "")
        is_small = declared.isdecimal() and 0 < int(declared) <= SMALL_BYTES
        if is_small and "expect" not in self._request.headers:
            return
        try:
            await self._gateway.queue.check_room(
                priority=self._placement.priority, site=self._placement.site, payload_bytes=0
            )
        except SiteShareUsed as error:
            # DICOMweb knows 503 and no 429 (PS3.2 N.7.3.3).
            raise QueueFull("the site's share is used") from error

    async def _take(self, part: ReceivedPart) -> Outcome:
        if isinstance(part, FailedPart):
            return self._failed(Failed(error=part.error))
        try:
            return await self._keep(part)
        except (DicomError, JobsError, ImageError) as error:
            if isinstance(error, QueueUnavailable) and not isinstance(error, RecordCorrupt):
                self._outage = error
                # Whoever has got nothing in is told at once; a sender of many would wait for each of them in vain.
                if not self._has_stored():
                    raise
            return self._failed(Failed.of(error, part.header))

    async def _keep(self, part: WholePart) -> Stored:
        sop_class_uid, sop_instance_uid = self._checked(part.header)
        if self._outage is not None:
            raise self._outage
        code = await self._note(part) if sop_class_uid == KEY_OBJECTS else await self._ingest(part)
        self._gateway.metrics.images_received.labels(SOURCE_STOW, code).inc()
        return Stored(sop_class_uid=sop_class_uid, sop_instance_uid=sop_instance_uid)

    async def _ingest(self, part: WholePart) -> str:
        gateway, request = self._gateway, self._request
        job = job_of(part.upload, part.header, self._placement)
        submission = await ingest(part.upload, job, spool=gateway.spool, queue=gateway.queue)
        gateway.metrics.payload_bytes.observe(part.upload.size_bytes)
        if not submission.is_new:
            return KNOWN
        gateway.note(AuditEvent.ACCEPTED, submission.record, request)
        who, source = request.state.caller.key_id, address_of(request)
        warn_of_revision(gateway.audit, submission, who=who, source=source)
        return ACCEPTED

    async def _note(self, part: WholePart) -> str:
        """Do what a Key Object asks for, where it rejects films; it is no film itself, and nothing of it is kept."""
        gateway, request = self._gateway, self._request
        note = await asyncio.to_thread(lambda: read_key_object(part.upload.content()))
        await reject(
            note,
            site=self._placement.site,
            queue=gateway.queue,
            audit=gateway.audit,
            who=request.state.caller.key_id,
            source=address_of(request),
        )
        return KEY_OBJECT

    def _checked(self, header: Header) -> tuple[str, str]:
        """Return class and instance UID of what may be taken."""
        if header.sop_class_uid is None or header.sop_instance_uid is None:
            raise InstanceUnidentified("no SOP Class UID or no SOP Instance UID")
        if header.sop_class_uid not in TAKEN_CLASSES:
            raise SopClassNotTaken("no class of films or notes of rejection")
        # A data set that is never read (deflated, say) does not name its study; then the request does.
        wanted, named = self._placement.study_uid, header.study_instance_uid
        if wanted is not None and named is not None and wanted != named:
            raise StudyMismatch("of another study than the request")
        return header.sop_class_uid, header.sop_instance_uid

    def _failed(self, failed: Failed) -> Failed:
        self._gateway.metrics.images_received.labels(SOURCE_STOW, failed.error.code).inc()
        return failed
