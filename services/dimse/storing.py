"""A film that has arrived becomes a job, and its sender gets a status: success after it is durable, not before.

Called in the threads of associations; what waits for Redis runs on the process' one event loop. Knows no network.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from model.decoding.inspect import inspect_header
from model.decoding.key_object import LARGEST_BYTES as KEY_OBJECT_BYTES
from model.decoding.key_object import read_key_object
from model.errors import ModelError
from services.dicom.codes import KEY_OBJECTS, Status
from services.dicom.errors import DicomError, SopClassNotTaken
from services.dimse import metrics
from services.dimse.arriving import ArrivalLimits, ArrivingFilm, StoreRequest
from services.dimse.errors import CallerNotKnown, DataSetMismatch, DimseError, FilmAbsent
from services.dimse.statuses import comment_of, status_of
from services.jobs.errors import JobsError
from services.jobs.ingest import Placement, ingest, job_of, warn_of_revision
from services.jobs.ledger.entries import AuditEvent
from services.jobs.ledger.trail import AuditTrail
from services.jobs.queue import JobQueue
from services.jobs.rejection import reject
from services.jobs.spool import Spool
from services.jobs.upload import Upload

logger = logging.getLogger(__name__)

OPEN_SITE: Final = "default"

_Result = TypeVar("_Result")


@dataclass(frozen=True, kw_only=True)
class Sender:
    """Who sends, as the network says: its AE title and its address."""

    ae_title: str
    address: str


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a C-STORE response says; the comment stands beside failures only."""

    status: Status
    comment: str | None = None


class FilmStore:
    """Takes films from any number of threads at once.

    Parameters
    ----------
    callers
        Sites by calling AE title; empty where everybody on this machine may send.
    limits
        Of films; a Key Object has a bound of its own.
    loop
        Runs as long as films are stored.
    """

    def __init__(
        self,
        *,
        spool: Spool,
        queue: JobQueue,
        audit: AuditTrail,
        callers: Mapping[str, str],
        limits: ArrivalLimits,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._spool = spool
        self._queue = queue
        self._audit = audit
        self._callers = callers
        self._limits = limits
        self._loop = loop
        # Set by whoever watches Redis: one that answers, but could lose what it acknowledges, gets no film.
        self.trouble: JobsError | None = None

    def begin(self, request: StoreRequest) -> ArrivingFilm:
        """Return a film that arrives now; it is refused already where the spool has no room."""
        limits = self._limits
        if request.sop_class_uid == KEY_OBJECTS:
            limits = ArrivalLimits(film_bytes=KEY_OBJECT_BYTES, film_seconds=limits.film_seconds)
        return ArrivingFilm(request, self._spool, limits, look_for_room=lambda: self._look_for_room(request))

    def store(self, film: ArrivingFilm | None, sender: Sender) -> Answer:
        """Return what the sender is told; never raises. Blocks until the film is durable, known, or refused."""
        began = time.perf_counter()
        try:
            code = self._take(film, sender)
        except (DimseError, DicomError, JobsError, ModelError) as error:
            metrics.IMAGES_RECEIVED.labels(metrics.SOURCE, error.code).inc()
            answer = Answer(status=status_of(error), comment=comment_of(error))
            logger.info("film refused", extra={"action": "film_refused", "code": error.code})
        except Exception as error:  # the outermost guard of this film: others of its association go on
            logger.exception("film failed", extra={"action": "film_failed"})
            metrics.IMAGES_RECEIVED.labels(metrics.SOURCE, comment_of(error)).inc()
            answer = Answer(status=Status.PROCESSING_FAILURE, comment=comment_of(error))
        else:
            metrics.IMAGES_RECEIVED.labels(metrics.SOURCE, code).inc()
            answer = Answer(status=Status.SUCCESS)
        metrics.STORE_DURATION.observe(time.perf_counter() - began)
        return answer

    def _take(self, film: ArrivingFilm | None, sender: Sender) -> str:
        """Return what became of a film that was taken; raise why it was not."""
        if film is None:
            raise FilmAbsent("a request without a data set")
        site = self._site_of(sender.ae_title)
        request = film.request
        if request.sop_class_uid != request.abstract_syntax_uid:
            raise SopClassNotTaken("the request is not of the SOP class that was negotiated for it")
        upload = film.whole()
        if self.trouble is not None:
            raise self.trouble
        if request.sop_class_uid == KEY_OBJECTS:
            return self._take_note(upload, request, site, sender)
        return self._take_film(upload, request, site, sender)

    def _take_film(self, upload: Upload, request: StoreRequest, site: str, sender: Sender) -> str:
        header = inspect_header(upload.content())
        _check_same(request, header.sop_class_uid, header.sop_instance_uid)
        job = job_of(upload, header, Placement(site=site, priority=request.priority))
        submission = self._wait_for(ingest(upload, job, spool=self._spool, queue=self._queue))
        metrics.PAYLOAD_BYTES.observe(upload.size_bytes)
        if not submission.is_new:
            return metrics.KNOWN
        film, who = submission.record, self._known(sender)
        self._audit.note(
            AuditEvent.ACCEPTED,
            film_id=film.id,
            study_uid=film.study_uid,
            site=film.site,
            who=who,
            source=sender.address,
        )
        warn_of_revision(self._audit, submission, who=who, source=sender.address)
        return metrics.ACCEPTED

    def _take_note(self, upload: Upload, request: StoreRequest, site: str, sender: Sender) -> str:
        note = read_key_object(upload.content())
        _check_same(request, note.sop_class_uid, note.sop_instance_uid)
        who = self._known(sender)
        self._wait_for(reject(note, site=site, queue=self._queue, audit=self._audit, who=who, source=sender.address))
        return metrics.NOTED

    def _look_for_room(self, request: StoreRequest) -> None:
        site = self._site_of(request.calling_ae_title)
        # How many bytes come, nobody says before; the submit counts them.
        self._wait_for(self._queue.check_room(priority=request.priority, site=site, payload_bytes=0))

    def _site_of(self, ae_title: str) -> str:
        if not self._callers:
            return OPEN_SITE
        site = self._callers.get(ae_title)
        if site is None:
            raise CallerNotKnown("this AE title is on no list")
        return site

    def _known(self, sender: Sender) -> str | None:
        """Return the AE title where it is one of ours to write down; others are whatever a stranger wrote there."""
        return sender.ae_title if sender.ae_title in self._callers else None

    def _wait_for(self, work: Coroutine[Any, Any, _Result]) -> _Result:
        # Without a limit of its own: each step has one, and a film must not be let go of in the middle of a step.
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()


def _check_same(request: StoreRequest, sop_class_uid: str | None, sop_instance_uid: str | None) -> None:
    """Raise ``DataSetMismatch`` unless the data set is what its request says (PS3.7 9.3.1.1, PS3.4 B.2.3)."""
    if (sop_class_uid, sop_instance_uid) != (request.sop_class_uid, request.sop_instance_uid):
        raise DataSetMismatch("the data set is not the instance that its request names")
