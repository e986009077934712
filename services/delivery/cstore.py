"""Objects to a DICOM node by C-STORE (PS3.4 Annex B): one association for each film, judged by statuses.

pynetdicom blocks, so each exchange has a thread of this target's own pool: a node that hangs holds up no other target.
Knows neither records nor the outbox.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from typing import Final

from pydicom import Dataset, dcmread
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import AE
from pynetdicom.association import Association

from services.delivery.http import tls_context
from services.delivery.targets import CStoreTarget
from services.delivery.verdicts import PASSING_STATUSES, Delivered, Failed, Refused, Verdict

# PS3.7 Annex C. A warning, of whatever number, is a success: the object is stored. 0111H says that it was before.
_STORED: Final = frozenset({0x0000, 0x0001, 0x0107, 0x0111, 0x0116, *range(0xB000, 0xC000)})


class CStoreSender:
    """Sends the objects of one film over one association; a repeat carries the same UIDs.

    Raises
    ------
    TargetsInvalid
        If a certificate of the target cannot be read.
    """

    def __init__(self, target: CStoreTarget, *, seconds: float, connections: int) -> None:
        self._target = target
        self._seconds = seconds
        self._tls = None if target.tls is None else tls_context(target.tls, target=target.name)
        # One more than are under way at once: the thread of an exchange that was given up ends a moment later.
        self._threads = ThreadPoolExecutor(max_workers=connections + 1, thread_name_prefix=f"cstore-{target.name}")

    async def send(self, objects: Sequence[bytes]) -> Verdict:
        """Send Part 10 files; return what became of all of them together."""
        exchange = _Exchange(self._target, tls=self._tls, seconds=self._seconds)
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._seconds):
                return await loop.run_in_executor(self._threads, exchange.run, objects)
        except TimeoutError:
            return Failed(reason="timeout")
        finally:
            exchange.give_up()

    async def close(self) -> None:
        """Let the threads end; none of them waits for longer than its exchange may take."""
        self._threads.shutdown(wait=False, cancel_futures=True)


class _Exchange:
    """One association, in the thread that calls ``run``; ``give_up`` may be called from any other."""

    def __init__(self, target: CStoreTarget, *, tls: ssl.SSLContext | None, seconds: float) -> None:
        self._target = target
        self._tls = tls
        self._seconds = seconds
        self._association: Association | None = None
        self._is_given_up = False

    def run(self, objects: Sequence[bytes]) -> Verdict:
        datasets = [dcmread(BytesIO(content)) for content in objects]
        self._association = association = self._associate(datasets)
        if self._is_given_up:
            self.give_up()
        if not association.is_established:
            return _why_not_established(association)
        try:
            return self._store_all(association, datasets)
        finally:
            association.release()

    def give_up(self) -> None:
        """Abort what is under way, without waiting for it; nothing where it has ended."""
        self._is_given_up = True
        if self._association is not None and self._association.is_established:
            self._association.abort(block=False)

    def _associate(self, datasets: Sequence[Dataset]) -> Association:
        node = AE(ae_title=self._target.calling_ae_title)
        node.acse_timeout = node.dimse_timeout = node.network_timeout = node.connection_timeout = self._seconds
        for sop_class in dict.fromkeys(dataset.SOPClassUID for dataset in datasets):
            node.add_requested_context(sop_class, [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
        return node.associate(
            self._target.host,
            self._target.port,
            ae_title=self._target.called_ae_title,
            tls_args=None if self._tls is None else (self._tls, self._target.host),
        )

    def _store_all(self, association: Association, datasets: Sequence[Dataset]) -> Verdict:
        accepted = {context.abstract_syntax for context in association.accepted_contexts}
        for dataset in datasets:
            if dataset.SOPClassUID not in accepted:
                return Refused(reason="sop_class_not_accepted")
            verdict = store(association, dataset)
            if not isinstance(verdict, Delivered):
                return verdict
        return Delivered()


def store(association: Association, dataset: Dataset) -> Verdict:
    """Send one object; return what became of it, also where the association has ended."""
    try:
        return verdict_of(association.send_c_store(dataset))
    except RuntimeError:  # pynetdicom's word for an association that ended since the object before
        return Failed(reason="association_lost")


def verdict_of(status: Dataset) -> Verdict:
    """Return what a C-STORE status means; an empty one says that the association was lost before there was any."""
    if "Status" not in status:
        return Failed(reason="association_lost")
    code = int(status.Status)
    if code in _STORED:
        return Delivered()
    reason = f"cstore_{code:04x}"
    return Failed(reason=reason) if code in PASSING_STATUSES else Refused(reason=reason)


def _why_not_established(association: Association) -> Verdict:
    if association.is_rejected:
        return Failed(reason="association_rejected")  # an AE title that is not known there, say
    if association.rejected_contexts and not association.accepted_contexts:
        return Refused(reason="sop_class_not_accepted")
    return Failed(reason="unreachable")
