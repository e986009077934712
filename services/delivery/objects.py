"""The DICOM objects of one decision, as Part 10 files. Blocks: it reads the spool and draws; call it in a thread.

Deterministic in all that a target tells objects apart by: their UIDs follow from film, model and commit, so that a
repeat is the same object. Knows no target and no network.
"""

from __future__ import annotations

import logging
from collections.abc import Collection
from typing import Final

from model.decoding.header import ImageFormat
from model.decoding.source_attributes import SourceAttributes
from model.errors import Reason
from services.delivery.targets import ObjectKind
from services.delivery.verdicts import NothingToSend, Unbuildable, Unbuilt
from services.dicom.errors import FilmGone, FilmNotDicom, FilmNotReportable
from services.dicom.files import overlay_file, rejection_file, report_file
from services.dicom.source import read_verified_source
from services.jobs.delivery_outbox import Owed
from services.jobs.errors import PictureGone, SpoolUnavailable
from services.jobs.records import Picture, study_uid_of_raster
from services.jobs.spool import Spool

logger = logging.getLogger(__name__)

_TRIES_FOR_THE_HEADER: Final = 3  # of a withdrawn film; then its results are taken back without it


class ObjectBuilder:
    """Makes what one target is sent of a film."""

    def __init__(self, spool: Spool, *, kinds: Collection[ObjectKind]) -> None:
        self._spool = spool
        self._kinds = kinds

    def build(self, owed: Owed) -> list[bytes] | Unbuildable | Unbuilt | NothingToSend:
        """Return the files, or why there are none.

        A raster film has none: its record is all there is of it. So has one that nobody could judge and whose header
        cannot be repeated; where such a film was judged, somebody has to look, and it is a dead letter. A payload that
        cannot be read may be on a disk that is away, so that it is tried again; one past retention never comes back.
        """
        record, job = owed.record, owed.job
        if job.image_format is not ImageFormat.DICOM:
            return NothingToSend()
        is_withdrawn = record.reason is Reason.WITHDRAWN
        if not owed.is_payload_kept:
            return self._without_film(owed) if is_withdrawn else Unbuildable(reason=FilmGone.code)
        try:
            source = read_verified_source(self._spool.read(job), sha256=job.sha256)
            files = self._rejection(owed, source) if is_withdrawn else self._results(owed, source)
        except FilmNotDicom:
            return NothingToSend()
        except FilmNotReportable as error:
            is_judged = record.outcome is not None and record.outcome.is_scored
            return Unbuildable(reason=error.code) if is_judged else NothingToSend()
        except (SpoolUnavailable, FilmGone) as error:
            is_over = is_withdrawn and owed.attempts >= _TRIES_FOR_THE_HEADER
            return self._without_film(owed) if is_over else Unbuilt(reason=error.code)
        return files or NothingToSend()

    def _without_film(self, owed: Owed) -> list[bytes] | NothingToSend:
        """Return the note that takes back what was said of a film that is not here, so that it names no patient.

        Results of a withdrawn film that nobody takes back would be worse. A film that named no study had none.
        """
        if owed.job.study_uid == study_uid_of_raster(owed.film_id):
            return NothingToSend()
        return self._rejection(owed, None) or NothingToSend()

    def _rejection(self, owed: Owed, source: SourceAttributes | None) -> list[bytes]:
        rejection = rejection_file(owed.record, source, owed.past)
        return [] if rejection is None else [rejection]

    def _results(self, owed: Owed, source: SourceAttributes) -> list[bytes]:
        files: list[bytes] = []
        if ObjectKind.REPORT in self._kinds:
            files.append(report_file(owed.record, source, owed.past))
        if ObjectKind.OVERLAY in self._kinds and (overlay := self._overlay(owed, source)) is not None:
            files.append(overlay)
        return files

    def _overlay(self, owed: Owed, source: SourceAttributes) -> bytes | None:
        """Return the picture, ``None`` where the film has none: a lost picture keeps no report back."""
        record, payload = owed.record, owed.job.payload
        if record.links.heatmap is None or record.links.preview is None or record.model is None:
            return None
        try:
            preview = self._spool.read_picture(payload, Picture.PREVIEW)
            activation = self._spool.read_picture(payload, Picture.HEATMAP, by=record.model.digest)
            return overlay_file(record, source, preview, activation, commit=owed.commit)
        except PictureGone as error:
            facts = {"action": "overlay_left_out", "job_id": owed.film_id, "code": error.code}
            logger.warning("an overlay is left out", extra=facts)
            return None
