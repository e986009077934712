"""How much room the spool may take: payloads have the whole quota, pictures a fifth of it beside them.

Pictures are counted apart, so that they can never cost a payload its place: a film without a picture is read all the
same, a film without room is not. For the same reason pictures stop at twice the free disk at which payloads do.
Knows sizes only; the spool measures. What other processes that share the directory keep and remove is seen when it is
counted anew; the quota is a guard rail, not an account.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from services.jobs.disk import translate_disk_errors
from services.jobs.errors import SpoolFull

# A count reads every folder. A spool that seems full is counted again at most this often,
_RECOUNT_SECONDS: Final = 5.0
# and one that takes uploads at least this often: only workers remove, and only they keep pictures.
_STALE_SECONDS: Final = 60.0
PICTURES_SHARE: Final = 0.2
_PICTURES_FREE_FACTOR: Final = 2.0


@dataclass(frozen=True, kw_only=True)
class Usage:
    """What lies in the spool: payloads, arriving ones included, and pictures."""

    payload_bytes: int
    picture_bytes: int


_NOTHING: Final = Usage(payload_bytes=0, picture_bytes=0)


def free_ratio(directory: Path) -> float:
    """Return which part of a directory's disk is free for us; raise ``OSError`` where it does not say."""
    disk = os.statvfs(directory)
    return disk.f_bavail / disk.f_blocks if disk.f_blocks else 1.0


class Quota:
    """Counts what the spool holds; every method may be called by several threads at once.

    Parameters
    ----------
    directory
        On the disk whose free space is watched.
    measure
        Looks at the disk for all but this process's uploads; blocks, and raises SpoolUnavailable.
    """

    def __init__(
        self,
        directory: Path,
        *,
        quota_bytes: int,
        minimum_free_ratio: float,
        measure: Callable[[], Usage],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._directory = directory
        self._quota_bytes = quota_bytes
        self._minimum_free_ratio = minimum_free_ratio
        self._measure = measure
        self._clock = clock
        self._lock = threading.Lock()
        self._recounting = threading.Lock()
        # As if it were a while ago: the first refusal after a start may already look at the disk again.
        self._counted_at = clock() - _RECOUNT_SECONDS
        self._arriving_bytes = 0
        self._kept_meanwhile = _NOTHING
        self._kept = measure()

    @property
    def usage(self) -> Usage:
        """What lies in the spool, as far as this process knows."""
        kept = self._kept
        return Usage(payload_bytes=kept.payload_bytes + self._arriving_bytes, picture_bytes=kept.picture_bytes)

    def arrive(self, more_bytes: int) -> None:
        """Add to the bytes of this process's uploads; raise SpoolFull where the quota does not allow it.

        Payloads are removed by other processes, so a quota that seems used up is looked at again first.
        """
        if self.usage.payload_bytes + more_bytes > self._quota_bytes:
            self._recount_if_older(_RECOUNT_SECONDS)
        with self._lock:
            if self.usage.payload_bytes + more_bytes > self._quota_bytes:
                raise SpoolFull("the spool's quota is used up")
            self._arriving_bytes += more_bytes

    def leave(self, arrived_bytes: int) -> None:
        """Take an upload back that arrived with so many bytes."""
        with self._lock:
            self._arriving_bytes -= arrived_bytes

    def settle(self, arrived_bytes: int) -> None:
        """Take an upload for a kept payload from now on."""
        with self._lock:
            self._arriving_bytes -= arrived_bytes
            self._add(Usage(payload_bytes=arrived_bytes, picture_bytes=0))

    def remove(self, payload_bytes: int) -> None:
        """Take a kept payload away."""
        with self._lock:
            self._add(Usage(payload_bytes=-payload_bytes, picture_bytes=0))

    def count_picture(self, more_bytes: int, *, is_checked: bool = True) -> None:
        """Add to the pictures' bytes; raise SpoolFull where their share does not allow it.

        Never looks at the disk: a decision waits for its pictures, and must not wait for a walk through the spool.
        """
        with self._lock:
            if is_checked and self._kept.picture_bytes + more_bytes > PICTURES_SHARE * self._quota_bytes:
                raise SpoolFull("the pictures' share of the spool is used up")
            self._add(Usage(payload_bytes=0, picture_bytes=more_bytes))

    def check_room(self) -> None:
        """Raise SpoolFull where less of the disk is free than payloads need."""
        self._check_free(self._minimum_free_ratio)

    def check_room_for_pictures(self) -> None:
        """Raise SpoolFull where less of the disk is free than pictures need."""
        self._check_free(min(1.0, _PICTURES_FREE_FACTOR * self._minimum_free_ratio))

    def recount_if_stale(self) -> None:
        """Count anew where the last count is old."""
        self._recount_if_older(_STALE_SECONDS)

    def recount(self) -> None:
        """Count anew."""
        with self._recounting:
            self._recount()

    def free_ratio(self) -> float:
        """Return which part of the disk is free; raise SpoolUnavailable where it does not say."""
        with translate_disk_errors():
            return free_ratio(self._directory)

    def _check_free(self, ratio: float) -> None:
        if self.free_ratio() < ratio:
            raise SpoolFull("the disk is nearly full")

    def _recount_if_older(self, seconds: float) -> None:
        with self._recounting:
            if self._clock() - self._counted_at >= seconds:
                self._recount()

    def _recount(self) -> None:
        """Count anew; one at a time.

        What is kept meanwhile is added, seen or not, and what goes is not taken away: the next count mends the excess,
        where too little would let more in than there is room for. Uploads are not measured but counted, because one
        that is counted may not be written yet.
        """
        with self._lock:
            self._kept_meanwhile = _NOTHING
        measured = self._measure()
        with self._lock:
            self._kept = _sum(measured, self._kept_meanwhile)
        self._counted_at = self._clock()

    def _add(self, more: Usage) -> None:
        self._kept = _sum(self._kept, more)
        gained = Usage(payload_bytes=max(more.payload_bytes, 0), picture_bytes=max(more.picture_bytes, 0))
        self._kept_meanwhile = _sum(self._kept_meanwhile, gained)


def _sum(one: Usage, other: Usage) -> Usage:
    return Usage(
        payload_bytes=one.payload_bytes + other.payload_bytes, picture_bytes=one.picture_bytes + other.picture_bytes
    )
