"""A decision waits for its pictures no longer than was agreed, whatever the disk does."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from collections.abc import Iterator

import numpy as np
import pytest
from prometheus_client import REGISTRY

from services.jobs.errors import SpoolFull
from services.jobs.records import Job, ModelReference, Picture
from services.worker.pictures import THREADS, Explained, PictureKeeper
from tests.support.jobs import make_job

PREVIEW = np.zeros((3, 4), np.uint8)


class HangingDisk:
    """A store whose writes come back when they are let go, as those of a network disk that is out of reach do."""

    def __init__(self) -> None:
        self.is_back = threading.Event()
        self.begun: list[str] = []

    def keep_picture(self, job: Job, picture: Picture, content: bytes, *, by: str | None = None) -> None:
        self.begun.append(job.id)
        assert self.is_back.wait(timeout=60)


@pytest.fixture
def disk() -> Iterator[HangingDisk]:
    disk = HangingDisk()
    yield disk
    disk.is_back.set()


def lost_to_the_clock() -> float:
    labels = {"picture": str(Picture.PREVIEW), "code": "timeout"}
    return REGISTRY.get_sample_value("cxr_pictures_lost_total", labels) or 0.0


async def test_a_disk_that_hangs_costs_the_picture_and_is_counted(disk: HangingDisk) -> None:
    before = lost_to_the_clock()
    assert await PictureKeeper(disk, patience_seconds=0.01).keep(make_job(), PREVIEW) == frozenset()
    assert lost_to_the_clock() == before + 1


async def test_a_disk_that_hangs_gathers_no_pictures_and_takes_no_other_threads(disk: HangingDisk) -> None:
    keeper = PictureKeeper(disk, patience_seconds=0.01)

    async def lose_picture() -> weakref.ref[np.ndarray]:
        preview = np.zeros((3, 4), np.uint8)
        kept = await keeper.keep(make_job(), preview)
        assert kept == frozenset()
        return weakref.ref(preview)

    lost = []
    async with asyncio.timeout(60):
        while len(disk.begun) < THREADS:  # a busy machine may not begin one within a picture's patience
            lost.append(await lose_picture())
    lost += [await lose_picture() for _ in range(10)]
    gc.collect()
    in_memory = sum(picture() is not None for picture in lost)
    assert len(disk.begun) == THREADS
    assert in_memory <= THREADS + 1, "those that hang, and the last one, whose cancellation asyncio may still hold"
    assert await asyncio.to_thread(lambda: "payload") == "payload"


async def test_pictures_are_kept_again_when_the_disk_is_back(disk: HangingDisk) -> None:
    hasty = PictureKeeper(disk, patience_seconds=0.01)
    for _ in range(2 * THREADS):
        await hasty.keep(make_job(), PREVIEW)
    disk.is_back.set()
    async with asyncio.timeout(60):
        while not await hasty.keep(make_job(), PREVIEW):
            pass


class FullDisk:
    """A store with room for previews only."""

    def __init__(self) -> None:
        self.kept: list[Picture] = []

    def keep_picture(self, job: Job, picture: Picture, content: bytes, *, by: str | None = None) -> None:
        if picture is not Picture.PREVIEW:
            raise SpoolFull("no room")
        self.kept.append(picture)


def explained(activation: np.ndarray) -> Explained:
    model = ModelReference(name="tiny", version="1", digest="0" * 64)
    return Explained(activation=activation, temperature=2.0, model=model)


async def test_a_heat_map_that_finds_no_room_costs_no_preview() -> None:
    disk = FullDisk()
    kept = await PictureKeeper(disk).keep(make_job(), PREVIEW, explained(np.ones((2, 2), np.float32)))
    assert kept == {Picture.PREVIEW}


async def test_a_heat_map_that_cannot_be_drawn_costs_no_preview() -> None:
    disk = FullDisk()
    kept = await PictureKeeper(disk).keep(make_job(), PREVIEW, explained(np.full((2, 2), np.nan, np.float32)))
    assert kept == {Picture.PREVIEW}
    assert disk.kept == [Picture.PREVIEW]


async def test_without_the_film_below_it_no_heat_map_is_kept() -> None:
    disk = FullDisk()
    assert await PictureKeeper(disk).keep(make_job(), None, explained(np.ones((2, 2), np.float32))) == frozenset()
    assert disk.kept == []
