"""Payloads on disk: durable when kept, invisible before, and never deleted by guess."""

from __future__ import annotations

import hashlib
import logging
import os
import resource
import shutil
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from services.jobs.errors import PictureGone, SpoolFull, SpoolUnavailable
from services.jobs.quota import Usage
from services.jobs.records import Job, Picture
from services.jobs.spool import ABANDONED_SECONDS, Spool
from services.jobs.stored import dump_job
from services.jobs.upload import Upload
from tests.support.jobs import make_job
from tests.support.spools import journal

MODEL = "a" * 64


def keep(spool: Spool, content: bytes = b"film") -> Job:
    upload = spool.begin()
    upload.write(content)
    job = make_job(content=content)
    spool.keep(upload, job)
    return job


def begun(spool: Spool) -> Upload:
    """Return an upload that is large enough to have a file."""
    upload = spool.begin()
    upload.write(b"a" * 1024**2)
    return upload


def path_of(upload: Upload) -> Path:
    path = upload.content()
    assert isinstance(path, Path)
    return path


def files(spool_directory: Path) -> list[Path]:
    return [path for path in spool_directory.rglob("*") if path.is_file()]


def make_older(path: Path, seconds: float) -> None:
    then = time.time() - seconds
    os.utime(path, (then, then))


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "spool"


def test_kept_payload_is_read_back_byte_for_byte(spool: Spool) -> None:
    job = keep(spool, b"pixels" * 1000)
    assert spool.read(job).read_bytes() == b"pixels" * 1000
    assert journal(spool) == [job]


def test_upload_counts_and_hashes_while_it_is_written(spool: Spool) -> None:
    upload = spool.begin()
    assert upload.write(b"one ") == 4
    assert upload.write(b"two") == upload.size_bytes == 7
    assert upload.sha256() == hashlib.sha256(b"one two").hexdigest()
    assert upload.content() == b"one two", "the header is read from it before it is kept"
    upload.discard()


def test_small_upload_is_no_file_before_it_is_kept_and_a_large_one_is_one_draft(spool: Spool, directory: Path) -> None:
    small = spool.begin()
    small.write(b"film")
    assert files(directory) == []
    large = begun(spool)
    large.write(b"rest")
    content = path_of(large)
    assert files(directory) == [content]
    assert content.read_bytes() == b"a" * 1024**2 + b"rest"
    for upload, expected in ((small, b"film"), (large, b"a" * 1024**2 + b"rest")):
        job = make_job(content=expected)
        spool.keep(upload, job)
        assert spool.read(job).read_bytes() == expected
    assert list((directory / "tmp").iterdir()) == []


def test_pieces_of_any_kind_are_one_payload(spool: Spool) -> None:
    upload = spool.begin()
    upload.write(b"by", bytearray(b"tes"), memoryview(b"and views")[3:])
    assert upload.content() == b"bytes views"
    assert upload.sha256() == hashlib.sha256(b"bytes views").hexdigest()
    upload.discard()


def test_probe_writes_and_leaves_nothing(spool: Spool, directory: Path) -> None:
    spool.probe()
    assert files(directory) == []
    (directory / "tmp").rmdir()
    with pytest.raises(SpoolUnavailable):
        spool.probe()
    assert spool.usage.payload_bytes == 0


def test_folder_that_somebody_cleared_away_is_made_again(spool: Spool, directory: Path) -> None:
    job = keep(spool)
    folder = spool.read(job).parent
    spool.remove(job.payload)
    folder.rmdir()
    again = spool.begin()
    again.write(b"film")
    spool.keep(again, job)
    assert spool.read(job).read_bytes() == b"film"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_upload_is_invisible_until_kept_and_gone_when_discarded(spool: Spool, directory: Path) -> None:
    upload = spool.begin()
    upload.write(b"half")
    assert journal(spool) == []
    upload.discard()
    upload.discard()
    assert files(directory) == []
    assert spool.usage.payload_bytes == 0


def test_discard_after_keep_removes_nothing(spool: Spool) -> None:
    upload = spool.begin()
    upload.write(b"film")
    job = make_job(content=b"film")
    spool.keep(upload, job)
    upload.discard()
    assert spool.read(job).read_bytes() == b"film"
    assert spool.usage.payload_bytes == 4


def test_removed_payload_is_gone_with_its_sidecar_and_removing_it_again_is_harmless(
    spool: Spool, directory: Path
) -> None:
    job = keep(spool)
    spool.remove(job.payload)
    spool.remove(job.payload)
    assert files(directory) == []
    assert spool.usage.payload_bytes == 0
    with pytest.raises(SpoolUnavailable):
        spool.read(job)


def test_nobody_else_can_look_into_the_spool(spool: Spool, directory: Path) -> None:
    job = keep(spool)
    for folder in (directory, directory / "tmp", spool.read(job).parent):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(spool.read(job).stat().st_mode) == 0o600


@pytest.mark.parametrize("name", ["../../etc/passwd", "x" * 32, "0" * 32 + ".json", "", "0" * 32 + "." + "G" * 32])
def test_names_that_are_not_ours_are_refused(spool: Spool, name: str) -> None:
    with pytest.raises(ValueError, match="payload's name"):
        spool.read(replace(make_job(), payload=name))


# -- pictures ----------------------------------------------------------------------------------------------------------
def test_pictures_lie_beside_their_payload_and_are_no_payloads(spool: Spool, directory: Path) -> None:
    job = keep(spool, b"film")
    spool.keep_picture(job, Picture.PREVIEW, b"pixels")
    spool.keep_picture(job, Picture.HEATMAP, b"heat", by=MODEL)
    assert spool.read_picture(job.payload, Picture.PREVIEW) == b"pixels"
    assert spool.read_picture(job.payload, Picture.HEATMAP, by=MODEL) == b"heat"
    assert journal(spool) == [job]
    assert {stat.S_IMODE(path.stat().st_mode) for path in files(directory)} == {0o600}


def test_a_picture_takes_the_place_of_an_earlier_one_whole(spool: Spool, directory: Path) -> None:
    job = keep(spool)
    for content in (b"of the worker that was killed", b"of the next"):
        spool.keep_picture(job, Picture.PREVIEW, content)
    assert spool.read_picture(job.payload, Picture.PREVIEW) == b"of the next"
    assert spool.usage.picture_bytes == len(b"of the next")
    assert list((directory / "tmp").iterdir()) == []


def test_a_picture_that_was_not_kept_is_gone(spool: Spool) -> None:
    job = keep(spool)
    spool.keep_picture(job, Picture.PREVIEW, b"pixels")
    with pytest.raises(PictureGone):
        spool.read_picture(job.payload, Picture.HEATMAP, by=MODEL)


def test_pictures_go_with_their_payload(spool: Spool, directory: Path) -> None:
    job = keep(spool)
    spool.keep_picture(job, Picture.PREVIEW, b"pixels")
    spool.remove(job.payload)
    assert files(directory) == []
    assert spool.usage == Usage(payload_bytes=0, picture_bytes=0)


def test_pictures_are_counted_apart_from_payloads_also_by_other_processes(spool: Spool, directory: Path) -> None:
    job = keep(spool, b"film")
    spool.keep_picture(job, Picture.PREVIEW, b"pixels")
    spool.keep_picture(job, Picture.HEATMAP, b"heat", by=MODEL)
    assert spool.usage == Usage(payload_bytes=4, picture_bytes=10)
    assert Spool(directory, quota_bytes=100, minimum_free_ratio=0.0).usage == spool.usage


def test_pictures_at_their_cap_leave_the_whole_quota_to_payloads(directory: Path) -> None:
    spool = Spool(directory, quota_bytes=100, minimum_free_ratio=0.0)
    job = keep(spool, b"x" * 60)
    with pytest.raises(SpoolFull):
        spool.keep_picture(job, Picture.PREVIEW, b"x" * 21)
    spool.keep_picture(job, Picture.PREVIEW, b"x" * 20)
    with pytest.raises(SpoolFull):
        spool.keep_picture(job, Picture.HEATMAP, b"x", by=MODEL)
    keep(spool, b"y" * 40)
    assert spool.usage == Usage(payload_bytes=100, picture_bytes=20)
    with pytest.raises(SpoolFull):
        keep(spool, b"z")


def test_pictures_need_more_free_disk_than_payloads(directory: Path) -> None:
    free = shutil.disk_usage(directory.parent)
    ratio = 0.6 * free.free / free.total
    spool = Spool(directory, quota_bytes=1000, minimum_free_ratio=ratio)
    job = keep(spool)
    before = files(directory)
    with pytest.raises(SpoolFull):
        spool.keep_picture(job, Picture.PREVIEW, b"pixels")
    assert files(directory) == before
    assert spool.usage.picture_bytes == 0


def test_maps_of_two_models_lie_side_by_side_and_go_together(spool: Spool, directory: Path) -> None:
    """A worker that comes late, with another model, does not spoil what the film's record speaks of."""
    job, late = keep(spool), "b" * 64
    spool.keep_picture(job, Picture.HEATMAP, b"of the record", by=MODEL)
    spool.keep_picture(job, Picture.HEATMAP, b"of the late", by=late)
    assert spool.read_picture(job.payload, Picture.HEATMAP, by=MODEL) == b"of the record"
    assert spool.read_picture(job.payload, Picture.HEATMAP, by=late) == b"of the late"
    spool.remove(job.payload)
    assert files(directory) == []
    assert spool.usage == Usage(payload_bytes=0, picture_bytes=0)


@pytest.mark.parametrize("model", ["", "../../x", "A" * 64])
def test_digests_that_are_none_name_no_picture(spool: Spool, model: str) -> None:
    job = keep(spool)
    with pytest.raises(ValueError, match="digest of a model"):
        spool.keep_picture(job, Picture.HEATMAP, b"heat", by=model)


def test_a_picture_that_the_disk_refuses_leaves_nothing(spool: Spool, directory: Path) -> None:
    job = keep(spool)
    before = files(directory)
    with largest_file(4), pytest.raises(SpoolUnavailable):
        spool.keep_picture(job, Picture.PREVIEW, b"pixels")
    assert files(directory) == before
    assert spool.usage == Usage(payload_bytes=4, picture_bytes=0)


def test_a_picture_that_came_after_its_payload_had_gone_is_tidied(spool: Spool, directory: Path) -> None:
    job, open_job = keep(spool), keep(spool, b"open")
    spool.remove(job.payload)
    for late in (job, open_job):
        spool.keep_picture(late, Picture.HEATMAP, b"heat", by=MODEL)
    for path in files(directory):
        make_older(path, ABANDONED_SECONDS + 1)
    assert spool.tidy() == 1
    assert spool.read_picture(open_job.payload, Picture.HEATMAP, by=MODEL) == b"heat"
    assert spool.usage == Usage(payload_bytes=4, picture_bytes=4)


# -- room --------------------------------------------------------------------------------------------------------------
def test_quota_counts_what_is_kept_and_what_is_arriving(directory: Path) -> None:
    spool = Spool(directory, quota_bytes=10, minimum_free_ratio=0.0)
    keep(spool, b"12345")
    arriving = spool.begin()
    arriving.write(b"123")
    refused = spool.begin()
    with pytest.raises(SpoolFull):
        refused.write(b"123")
    assert spool.usage.payload_bytes == 8
    arriving.write(b"12")
    arriving.discard()
    assert spool.usage.payload_bytes == 5


def test_full_spool_refuses_before_the_first_byte_once_over_its_quota(directory: Path) -> None:
    keep(Spool(directory, quota_bytes=100, minimum_free_ratio=0.0), b"x" * 50)
    with pytest.raises(SpoolFull):
        Spool(directory, quota_bytes=49, minimum_free_ratio=0.0).begin()


def test_removing_makes_room(directory: Path) -> None:
    spool = Spool(directory, quota_bytes=5, minimum_free_ratio=0.0)
    spool.remove(keep(spool, b"12345").payload)
    keep(spool, b"54321")


def test_what_another_process_removed_makes_room(directory: Path) -> None:
    """The gateway keeps, the worker removes: without a look at the disk the gateway would be full for ever."""
    gateway, worker = (Spool(directory, quota_bytes=5, minimum_free_ratio=0.0) for _ in range(2))
    worker.remove(keep(gateway, b"12345").payload)
    keep(gateway, b"54321")
    assert gateway.usage.payload_bytes == 5
    with pytest.raises(SpoolFull):
        keep(gateway, b"1")


def test_what_another_replica_kept_is_counted_at_the_next_tidy(directory: Path) -> None:
    spool = Spool(directory, quota_bytes=1000, minimum_free_ratio=0.0)
    keep(Spool(directory, quota_bytes=1000, minimum_free_ratio=0.0), b"x" * 100)
    assert spool.usage.payload_bytes == 0
    spool.tidy()
    assert spool.usage.payload_bytes == 100


def test_what_another_replica_kept_is_counted_by_uploads_within_a_minute(directory: Path) -> None:
    """A gateway tidies only when it starts; what others keep meanwhile must not escape it for days."""
    time_now = [0.0]
    spool = Spool(directory, quota_bytes=1000, minimum_free_ratio=0.0, clock=lambda: time_now[0])
    keep(Spool(directory, quota_bytes=1000, minimum_free_ratio=0.0), b"x" * 100)
    spool.begin().discard()
    assert spool.usage.payload_bytes == 0
    time_now[0] = 60.0
    spool.begin().discard()
    assert spool.usage.payload_bytes == 100


def test_disk_with_too_little_free_space_is_full(directory: Path) -> None:
    with pytest.raises(SpoolFull):
        Spool(directory, quota_bytes=1000, minimum_free_ratio=1.0).begin()


@contextmanager
def largest_file(size_bytes: int) -> Iterator[None]:
    """Let no file of this process grow beyond that: the kernel then refuses writes as a broken disk would."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)


def test_write_that_the_disk_refuses_leaves_nothing(spool: Spool, directory: Path) -> None:
    upload = spool.begin()
    with largest_file(1024**2), pytest.raises(SpoolUnavailable):
        upload.write(b"x" * (1024**2 + 100))
    assert files(directory) == []
    assert spool.usage.payload_bytes == 0


def test_keep_that_the_disk_refuses_leaves_nothing(spool: Spool, directory: Path) -> None:
    upload = spool.begin()
    upload.write(b"film")
    with largest_file(10), pytest.raises(SpoolUnavailable):
        spool.keep(upload, make_job(content=b"film"))
    assert files(directory) == []
    assert spool.usage.payload_bytes == 0


FULL_DISK_SCRIPT = """
import sys
from pathlib import Path
from services.jobs.errors import SpoolFull
from services.jobs.spool import Spool
from tests.support.jobs import make_job
from tests.support.spools import journal

directory = Path(sys.argv[1])
spool = Spool(directory, quota_bytes=10**9, minimum_free_ratio=0.0)
kept = []
try:
    while True:
        upload = spool.begin()
        for _ in range(4):
            upload.write(bytes(64 * 1024))
        job = make_job()
        spool.keep(upload, job)
        kept.append(job)
except SpoolFull:
    pass
assert kept and sorted(kept, key=lambda job: job.payload) == sorted(
    journal(spool), key=lambda job: job.payload)
assert len([path for path in directory.rglob("*") if path.is_file()]) == 2 * len(kept)
spool.remove(kept.pop().payload)
upload = spool.begin(); upload.write(b"room again"); spool.keep(upload, make_job())
print("refused and recovered")
"""


def test_full_disk_refuses_whole_films_and_recovers(tmp_path: Path) -> None:
    mount = tmp_path / "small"
    mount.mkdir()
    command = f"mount -t tmpfs -o size=2m none {mount} && exec {sys.executable} - {mount}/spool"
    run = subprocess.run(
        ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", command],
        input=FULL_DISK_SCRIPT,
        text=True,
        capture_output=True,
        timeout=240,
        check=False,
    )
    if "Operation not permitted" in run.stderr or "permission denied" in run.stderr:
        pytest.skip("no user namespaces here, so no disk to fill")
    assert "refused and recovered" in run.stdout, run.stderr


def test_unwritable_spool_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(SpoolUnavailable):
        Spool(tmp_path / "file" / "spool", quota_bytes=1000)


def test_many_uploads_at_once_are_counted_right(spool: Spool) -> None:
    def send() -> None:
        for number in range(5):
            upload = spool.begin()
            for _ in range(10):
                upload.write(b"x" * 1000)
            if number % 2:
                upload.discard()
            else:
                spool.keep(upload, make_job())

    threads = [threading.Thread(target=send) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert spool.usage.payload_bytes == 8 * 3 * 10_000
    assert len(journal(spool)) == 24


# -- what a crash leaves -----------------------------------------------------------------------------------------------
def test_journal_leaves_out_what_is_younger(spool: Spool) -> None:
    young, old = keep(spool, b"young"), keep(spool, b"old")
    make_older(spool.read(old), 120)
    assert journal(spool, older_than_seconds=60) == [old]
    assert len(journal(spool)) == len({young.id, old.id})


@pytest.mark.parametrize("sidecar", [b"", b"{", b"{}", b"\xff\xfe", None])
def test_broken_sidecar_is_reported_skipped_and_never_deleted(
    spool: Spool, sidecar: bytes | None, caplog: pytest.LogCaptureFixture
) -> None:
    broken, whole = keep(spool, b"broken"), keep(spool, b"whole")
    path = spool.read(broken)
    if sidecar is None:
        path.with_name(path.name + ".json").unlink()
    else:
        path.with_name(path.name + ".json").write_bytes(sidecar)
    make_older(path, 2 * ABANDONED_SECONDS)
    with caplog.at_level(logging.ERROR):
        assert journal(spool) == [whole]
    assert [record.payload for record in caplog.records] == [broken.payload]  # type: ignore[attr-defined]  # extra
    spool.tidy()
    assert path.read_bytes() == b"broken"


def test_sidecar_of_another_payload_is_not_believed(spool: Spool) -> None:
    first, second = keep(spool, b"first"), keep(spool, b"second")
    stolen = spool.read(second).with_name(second.payload + ".json").read_bytes()
    spool.read(first).with_name(first.payload + ".json").write_bytes(stolen)
    assert journal(spool) == [second]


def test_sidecar_that_names_another_film_is_not_believed(spool: Spool) -> None:
    first, second = keep(spool, b"first"), keep(spool, b"second")
    path = spool.read(first)
    path.with_name(path.name + ".json").write_text(dump_job(replace(first, id=second.id)))
    assert journal(spool) == [second]


def test_tidy_removes_only_what_was_abandoned_an_hour_ago(spool: Spool, directory: Path) -> None:
    job = keep(spool)
    orphan = spool.read(job).with_name(make_job().payload + ".json")
    orphan.write_bytes(b"{}")
    abandoned, arriving = begun(spool), begun(spool)
    make_older(path_of(abandoned), 2 * ABANDONED_SECONDS)
    make_older(spool.read(job), 2 * ABANDONED_SECONDS)
    make_older(spool.read(job).with_name(job.payload + ".json"), 2 * ABANDONED_SECONDS)
    assert spool.tidy() == 1
    assert orphan.exists()
    make_older(orphan, 2 * ABANDONED_SECONDS)
    assert spool.tidy() == 1
    assert path_of(arriving).exists()
    assert spool.read(job).exists()
    arriving.discard()
    abandoned.discard()
