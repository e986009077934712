"""What a spool is taken to hold while it is being counted anew."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from services.jobs.errors import SpoolFull
from services.jobs.quota import Quota, Usage

QUOTA_BYTES = 1000


class Disk:
    """What lies in a spool; ``meanwhile`` happens while somebody looks."""

    def __init__(self) -> None:
        self.payload_bytes = 0
        self.meanwhile: Callable[[], None] = lambda: None

    def measure(self) -> Usage:
        self.meanwhile()
        return Usage(payload_bytes=self.payload_bytes, picture_bytes=0)


@pytest.fixture
def disk() -> Disk:
    return Disk()


@pytest.fixture
def quota(disk: Disk, tmp_path: Path) -> Quota:
    return Quota(tmp_path, quota_bytes=QUOTA_BYTES, minimum_free_ratio=0.0, measure=disk.measure)


def test_an_upload_that_is_counted_but_not_written_yet_is_no_gap_in_the_next_count(quota: Quota) -> None:
    quota.arrive(400)
    quota.recount()
    assert quota.usage.payload_bytes == 400
    quota.leave(400)
    assert quota.usage.payload_bytes == 0


def test_an_upload_that_ends_while_the_spool_is_counted_is_not_taken_away_twice(quota: Quota, disk: Disk) -> None:
    quota.arrive(400)
    disk.meanwhile = lambda: quota.leave(400)
    quota.recount()
    assert quota.usage.payload_bytes == 0


def test_a_film_that_is_kept_while_the_spool_is_counted_counts_until_it_has_been_seen(quota: Quota, disk: Disk) -> None:
    quota.arrive(400)
    disk.meanwhile = lambda: quota.settle(400)
    quota.recount()
    assert quota.usage.payload_bytes == 400
    disk.payload_bytes, disk.meanwhile = 400, lambda: None
    quota.recount()
    assert quota.usage.payload_bytes == 400


def test_a_film_that_goes_before_it_was_seen_makes_no_room_that_is_not_there(quota: Quota, disk: Disk) -> None:
    quota.arrive(400)
    quota.settle(400)
    disk.meanwhile = lambda: quota.remove(400)
    quota.recount()
    assert quota.usage.payload_bytes == 0


def test_uploads_and_kept_films_share_the_quota(quota: Quota, disk: Disk) -> None:
    quota.arrive(600)
    quota.settle(600)
    disk.payload_bytes = 600
    quota.arrive(400)
    with pytest.raises(SpoolFull):
        quota.arrive(1)


def test_a_full_quota_is_looked_at_again_before_an_upload_is_refused(disk: Disk, tmp_path: Path) -> None:
    now = 0.0
    disk.payload_bytes = QUOTA_BYTES
    quota = Quota(tmp_path, quota_bytes=QUOTA_BYTES, minimum_free_ratio=0.0, measure=disk.measure, clock=lambda: now)
    disk.payload_bytes = 0
    now = 10.0
    quota.arrive(QUOTA_BYTES)
    assert quota.usage.payload_bytes == QUOTA_BYTES
