"""Payloads on disk: the only place where uploaded bytes live, and the journal that survives a lost Redis.

Names are our own hex ids only; the directory is 0700. Few calls, so that another store can stand in for it:
``begin``, ``keep``, ``read``, ``remove``, the journal's ``kept`` and ``job_of`` (``tidy`` is housekeeping), and two for
the pictures that a worker keeps beside a payload: ``keep_picture``, ``read_picture``. Everything blocks: the gateway
calls it through threads, and every method may be called by several at once. Knows no Redis.

What a crash can leave behind, and what becomes of it:

* ``tmp/<draft>``: an upload nobody answered for; removed after an hour.
* a sidecar without payload: the sidecar is written first and removed last; removed after an hour.
* a picture without its payload: pictures go first, but a worker may be late; removed after an hour.
* a payload without a readable sidecar: only damage does that. One without any is reported at every look; what is in one
  shows where it is read: at every start, and where Redis does not know the film. Never submitted by guess.
"""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from services.jobs import disk
from services.jobs.disk import delete, size_bytes, sync_directory, translate_disk_errors, write_durably, write_whole
from services.jobs.errors import PictureGone, RecordCorrupt, SpoolFull, SpoolUnavailable
from services.jobs.quota import Quota, Usage
from services.jobs.records import Job, Picture
from services.jobs.settings import SpoolSettings
from services.jobs.spool_files import INCOMING, SIDECAR, abandoned_in, folders, is_payload, is_picture_suffix, usage_of
from services.jobs.stored import dump_job, load_job
from services.jobs.upload import Upload

logger = logging.getLogger(__name__)

ABANDONED_SECONDS = 3600.0


def payload_name(film_id: str) -> str:
    """Return a new name for a film's payload: ``<id>.<uuid>``, so that two replicas never share a file."""
    return f"{film_id}.{uuid.uuid4().hex}"


def film_id_of(payload: str) -> str:
    """Return the id of the film that a payload belongs to."""
    return payload.partition(".")[0]


class Spool:
    """The directory: ``tmp/<draft>`` while uploading, then ``<id[:2]>/<id>.<uuid>`` with its sidecar ``….json``.

    Pictures lie beside their payload: ``….preview``, and ``….heatmap-<8 digits of the model's digest>``, so that a
    worker that comes late with another model does not take the place of the map that the film's record speaks of.
    """

    def __init__(
        self,
        directory: Path,
        *,
        quota_bytes: int,
        minimum_free_ratio: float = 0.10,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._directory = directory
        self._incoming = directory / INCOMING
        self._drafts = f"{uuid.uuid4().hex[:8]}-"
        with translate_disk_errors():
            disk.make_private(directory)
            self._incoming.mkdir(mode=0o700, exist_ok=True)
        self._quota = Quota(
            directory,
            quota_bytes=quota_bytes,
            minimum_free_ratio=minimum_free_ratio,
            measure=lambda: usage_of(directory, apart_from=self._drafts),
            clock=clock,
        )
        self.free_ratio = self._quota.free_ratio

    @classmethod
    def of(cls, settings: SpoolSettings) -> Spool:
        """Return the spool that the settings name; raise SpoolUnavailable if its directory cannot be made."""
        return cls(settings.directory, quota_bytes=settings.quota_bytes, minimum_free_ratio=settings.minimum_free_ratio)

    @property
    def usage(self) -> Usage:
        """What lies here, as far as this process knows."""
        return self._quota.usage

    def has(self, payload: str) -> bool:
        """Return whether a payload of this name is kept."""
        return self._path(payload).is_file()

    def begin(self) -> Upload:
        """Begin an upload; raise SpoolFull if quota or free space is used up."""
        self._quota.recount_if_stale()
        self._quota.arrive(0)
        self._quota.check_room()
        return Upload(self._quota, self._draft())

    def probe(self) -> None:
        """Return where an upload could be written; raise SpoolFull or SpoolUnavailable where not."""
        upload = self.begin()
        try:
            upload.flush()
        finally:
            upload.discard()

    def keep(self, upload: Upload, job: Job) -> None:
        """Make payload and sidecar durable under ``job.payload``; on return a power cut loses neither.

        The sidecar comes first, so that no payload is ever without one, and is written where it stays: nobody looks
        for it before there is the payload. Raises SpoolFull or SpoolUnavailable, and then nothing of the upload is
        left.
        """
        payload = self._path(job.payload)
        sidecar = _sidecar(payload)
        description = dump_job(job).encode()
        try:
            with translate_disk_errors():
                try:
                    write_durably(sidecar, description)
                except FileNotFoundError:  # the first film of its folder
                    payload.parent.mkdir(mode=0o700, exist_ok=True)
                    sync_directory(self._directory)
                    write_durably(sidecar, description)
                upload.settle(payload)
                sync_directory(payload.parent)
        except (SpoolFull, SpoolUnavailable):
            self._undo(upload, payload, sidecar)
            raise

    def _undo(self, upload: Upload, payload: Path, sidecar: Path) -> None:
        upload.discard()
        # A failing disk may refuse this too; the sweep finds what stays.
        with suppress(OSError):
            payload.unlink()
            self._quota.remove(upload.size_bytes)
        with suppress(OSError):
            sidecar.unlink()

    def read(self, job: Job) -> Path:
        """Return the path of a kept payload; raise SpoolUnavailable if it is gone."""
        path = self._path(job.payload)
        with translate_disk_errors():
            path.stat()
        return path

    def keep_picture(self, job: Job, picture: Picture, content: bytes, *, by: str | None = None) -> None:
        """Put a picture beside its payload, in place of an earlier one; whole for readers, but not synced.

        ``by`` is the digest of the model that it comes from, where it comes from one. Raises SpoolFull or
        SpoolUnavailable, and then nothing of it is left.
        """
        path = self._picture(job.payload, picture, by)
        with translate_disk_errors():
            more_bytes = len(content) - size_bytes(path)
        self._quota.count_picture(more_bytes)
        try:
            self._quota.check_room_for_pictures()
            with translate_disk_errors():
                write_whole(path, content, draft=self._draft())
        except (SpoolFull, SpoolUnavailable):
            self._quota.count_picture(-more_bytes, is_checked=False)
            raise

    def read_picture(self, payload: str, picture: Picture, *, by: str | None = None) -> bytes:
        """Return what ``keep_picture`` wrote; raise PictureGone if it is not there."""
        with translate_disk_errors():
            try:
                return self._picture(payload, picture, by).read_bytes()
            except FileNotFoundError as error:
                raise PictureGone("the picture is not in the spool") from error

    def remove(self, payload: str) -> None:
        """Delete pictures, payload and sidecar; idempotent. The sidecar goes last, see the module's docstring."""
        path = self._path(payload)
        with translate_disk_errors():
            for beside in path.parent.glob(f"{payload}.*"):
                if is_picture_suffix(beside.suffix):
                    self._quota.count_picture(-delete(beside), is_checked=False)
            self._quota.remove(delete(path))
            _sidecar(path).unlink(missing_ok=True)

    def kept(self, *, older_than_seconds: float) -> Iterator[str]:
        """Yield the name of every kept payload older than that; what reconcile compares with Redis.

        By names and times alone; no file is opened. A payload without sidecar is logged and skipped.
        """
        before = time.time() - older_than_seconds
        for folder in folders(self._directory):
            for payload, info, has_sidecar in folder.payloads():
                if info.st_mtime > before:
                    continue
                if has_sidecar:
                    yield payload
                else:
                    _report_unreadable(payload, "missing")

    def job_of(self, payload: str) -> Job | None:
        """Return the job that a payload's sidecar tells of; ``None``, with a line in the log, if it cannot be read."""
        try:
            job = load_job(_sidecar(self._path(payload)).read_bytes())
        except (RecordCorrupt, OSError) as error:
            if self.has(payload):  # else it was removed meanwhile, with its sidecar
                _report_unreadable(payload, type(error).__name__)
            return None
        if job.payload != payload or job.id != film_id_of(payload):
            _report_unreadable(payload, "of another payload")
            return None
        return job

    def tidy(self) -> int:
        """Remove uploads and sidecars that nobody finished, count the spool anew; return how many files went."""
        removed = 0
        before = time.time() - ABANDONED_SECONDS
        with translate_disk_errors():
            for path in abandoned_in(self._directory):
                with suppress(FileNotFoundError):
                    if path.stat().st_mtime < before:
                        path.unlink()
                        removed += 1
        self._quota.recount()
        return removed

    def _draft(self) -> Path:
        """Return a new name for what this process is writing."""
        return self._incoming / f"{self._drafts}{uuid.uuid4().hex}"

    def _path(self, payload: str) -> Path:
        if not is_payload(payload):
            raise ValueError("a payload's name is <id>.<uuid>")
        return self._directory / payload[:2] / payload

    def _picture(self, payload: str, picture: Picture, by: str | None) -> Path:
        path = self._path(payload)
        suffix = f".{picture}" if by is None else f".{picture}-{by[:8]}"
        if not is_picture_suffix(suffix):
            raise ValueError("a picture is named by what it is and by the digest of a model")
        return path.with_name(path.name + suffix)


def _sidecar(payload: Path) -> Path:
    return payload.with_name(payload.name + SIDECAR)


def _report_unreadable(payload: str, error: str) -> None:
    facts = {"action": "sidecar_unreadable", "payload": payload, "error": error}
    logger.error("a payload has no readable sidecar", extra=facts)
