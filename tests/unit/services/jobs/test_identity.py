"""Whether a payload is a film that we have: from two files alone, and never by guess."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from services.jobs.errors import SpoolUnavailable
from services.jobs.identity import recognise
from services.jobs.ingest import Placement, read_job
from services.jobs.limits import QueueLimits
from services.jobs.queue import Sibling
from services.jobs.records import Job, Priority
from services.jobs.spool import Spool
from services.jobs.stored import dump_job, record_of
from tests.support.films import DEFLATED, IMPLICIT, dicom_film

FILM = dicom_film(seed=1)
BY_ANOTHER_WAY = dicom_film(seed=1, transfer_syntax=IMPLICIT)


def keep(spool: Spool, payload: bytes) -> Job:
    upload = spool.begin()
    upload.write(payload)
    job = read_job(upload, None, Placement(site="default", priority=Priority.ROUTINE))
    spool.keep(upload, job)
    return job


def sibling_of(job: Job) -> Sibling:
    """Return what Redis says of a film that waits."""
    fields = [dump_job(job), "queued", "0", None, None, None]
    return Sibling(film_id=job.id, kept=job, record=record_of(fields, now_ms=0, limits=QueueLimits()))


def test_same_film_by_another_way_is_recognised_in_memory_and_on_disk(spool: Spool, tmp_path: Path) -> None:
    sibling = sibling_of(keep(spool, FILM))
    path = tmp_path / "upload"
    path.write_bytes(BY_ANOTHER_WAY)
    for content in (BY_ANOTHER_WAY, path):
        assert recognise(content, sibling, spool) == sibling.record


@pytest.mark.parametrize("content", [dicom_film(seed=2), FILM[:-1], b"no film"], ids=["another film", "cut", "no film"])
def test_what_is_not_certainly_the_same_film_is_another(spool: Spool, content: bytes) -> None:
    assert recognise(content, sibling_of(keep(spool, FILM)), spool) is None


def test_two_files_that_cannot_be_read_are_not_the_same_film(spool: Spool) -> None:
    unread = dicom_film(seed=1, transfer_syntax=DEFLATED)
    assert recognise(unread, sibling_of(keep(spool, unread)), spool) is None


def test_sibling_that_was_damaged_forgotten_or_removed_is_another_film(spool: Spool) -> None:
    job = keep(spool, FILM)
    sibling = sibling_of(job)
    for gone in (replace(sibling, kept=None), replace(sibling, record=None)):
        assert recognise(BY_ANOTHER_WAY, gone, spool) is None
    spool.read(job).write_bytes(FILM.replace(b"Phantom", b"Phantoms")[: len(FILM) // 2])
    assert recognise(BY_ANOTHER_WAY, sibling, spool) is None
    spool.remove(job.payload)
    assert recognise(BY_ANOTHER_WAY, sibling, spool) is None


def test_upload_that_the_disk_does_not_give_back_is_the_spools_fault(spool: Spool, tmp_path: Path) -> None:
    with pytest.raises(SpoolUnavailable):
        recognise(tmp_path / "vanished", sibling_of(keep(spool, FILM)), spool)
