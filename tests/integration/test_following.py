"""A worker's side of an activation, on a real Redis with real bundles: what it loads, tells, serves and refuses."""

from __future__ import annotations

import asyncio
import shutil
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from redis.asyncio import Redis

from model.errors import BundleCorrupt, BundleIncompatible, BundleNotFound
from services.jobs.activation import BundleActivation
from services.jobs.bundle_store import BundleStore
from services.jobs.connection import connect_gateway
from services.jobs.errors import QueueUnavailable
from services.jobs.operating_tables import OperatingTables
from services.jobs.policies import Policies
from services.jobs.probes import Readiness
from services.jobs.queue import JobQueue
from services.jobs.settings import WorkerSettings
from services.jobs.status import PreparationState
from services.worker.announcing import status_of
from services.worker.batching import Batcher, BatchPolicy
from services.worker.following import BundleFollower
from services.worker.heartbeat import Watchdog
from services.worker.loading import BundleLoader, LoadedBundle
from services.worker.policies import PolicyFollower
from services.worker.switching import ServedBundles
from services.worker.upkeep import Upkeep
from tests.support.bundles import write_explaining_bundle, write_tiny_bundle
from tests.support.redis_server import RedisServer


@dataclass(frozen=True, kw_only=True)
class Site:
    """A store with two bundles beside the one that workers are set to."""

    activation: BundleActivation
    store: Path
    own: str
    half: str
    explaining: str
    settings: WorkerSettings


@pytest.fixture
def site(redis_client: Redis, tmp_path: Path) -> Site:
    store = BundleStore(tmp_path / "store")
    settings = WorkerSettings(bundle=write_tiny_bundle(tmp_path / "own"), bundle_store=tmp_path / "store", threads=1)
    return Site(
        activation=BundleActivation(redis_client),
        store=tmp_path / "store",
        own=BundleLoader(settings).load_configured().digest,
        half=store.put(write_tiny_bundle(tmp_path / "half", gain=0.5, size=32, name="half")).digest,
        explaining=store.put(write_explaining_bundle(tmp_path / "explaining")).digest,
        settings=settings,
    )


class HeldLoader(BundleLoader):
    """Loads what is activated no sooner than it is told to go on."""

    def __init__(self, settings: WorkerSettings) -> None:
        super().__init__(settings)
        self.go_on = threading.Event()

    def load_activated(self, digest: str) -> LoadedBundle:
        assert self.go_on.wait(60)
        return super().load_activated(digest)


class Follower:
    """A worker without films."""

    def __init__(
        self,
        site: Site,
        activation: BundleActivation | None = None,
        *,
        loader: BundleLoader | None = None,
        **settings: object,
    ) -> None:
        loader = loader or BundleLoader(site.settings.model_copy(update=settings))
        self.bundles = ServedBundles(loader.load_configured(), batcher_for=_batcher)
        self.gave_up = asyncio.Event()
        self.following = BundleFollower(
            activation or site.activation, loader=loader, bundles=self.bundles, give_up=self.gave_up.set
        )

    @property
    def served(self) -> str:
        return self.bundles.serving.digest

    @property
    def told(self) -> tuple[str, PreparationState, str | None] | None:
        said = self.following.preparation
        return None if said is None else (said.attempt, said.state, said.code)

    async def until(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 60
        while not condition():
            assert time.monotonic() < deadline, (self.told, self.served)
            await self.following.step()
            await asyncio.sleep(0.01)


def _batcher(loaded: LoadedBundle) -> Batcher:
    return Batcher(loaded.scorer, policy=BatchPolicy(max_films=4, patience_seconds=0.0), watchdog=Watchdog(seconds=60))


async def propose(site: Site, digest: str, attempt: str) -> None:
    await site.activation.propose(digest, attempt=attempt, by="me", seconds=60, seen=await site.activation.read())


async def make_active(site: Site, digest: str, attempt: str) -> None:
    await propose(site, digest, attempt)
    await site.activation.activate(attempt, served=site.own)


async def test_a_worker_serves_its_own_bundle_until_another_one_is_active(site: Site) -> None:
    worker = Follower(site)
    await worker.following.begin()
    assert worker.served == site.own
    assert not await worker.following.step()


async def test_a_candidate_is_prepared_beside_the_bundle_that_serves_and_then_takes_over(site: Site) -> None:
    loader = HeldLoader(site.settings)
    worker = Follower(site, loader=loader)
    await worker.following.begin()
    await propose(site, site.half, "one")
    assert await worker.following.step(), "there is something to tell at once"
    assert worker.told == ("one", PreparationState.PREPARING, None)
    loader.go_on.set()
    await worker.until(lambda: worker.told == ("one", PreparationState.PREPARED, None))
    assert worker.served == site.own
    await site.activation.activate("one", served=site.own)
    assert await worker.following.step()
    assert (worker.served, worker.told) == (site.half, None)
    assert worker.bundles.serving.serving.preprocessing.size == 32


async def test_the_bundle_that_serves_is_prepared_already(site: Site) -> None:
    worker = Follower(site)
    await propose(site, site.own, "one")
    await worker.following.step()
    assert worker.told == ("one", PreparationState.PREPARED, None)


async def damaged(site: Site) -> str:
    network = site.store / site.half / "model.onnx"
    network.write_bytes(network.read_bytes() + b"\0")
    return site.half


async def scoring_differently(site: Site) -> str:
    source = write_tiny_bundle(site.store.parent / "golden", golden_probabilities=(0.9, 0.9, 0.9))
    return BundleStore(site.store).put(source).digest


async def reaching_outside(site: Site) -> str:
    source = write_tiny_bundle(site.store.parent / "network", network=b"ORTMORTM")
    return BundleStore(site.store).put(source).digest


async def absent(site: Site) -> str:
    shutil.rmtree(site.store / site.half)
    return site.half


@pytest.mark.parametrize(
    ("candidate", "code"),
    [
        (damaged, "bundle_corrupt"),
        (scoring_differently, "bundle_corrupt"),
        (reaching_outside, "bundle_incompatible"),
        (absent, "bundle_not_found"),
    ],
)
async def test_a_bad_candidate_is_refused_and_the_old_one_serves(
    site: Site, candidate: Callable[[Site], Awaitable[str]], code: str
) -> None:
    worker = Follower(site)
    await propose(site, await candidate(site), "bad")
    await worker.until(lambda: worker.told == ("bad", PreparationState.REFUSED, code))
    said = worker.following.preparation
    assert said is not None
    assert said.detail
    await site.activation.withdraw("bad", code=code)
    await worker.until(lambda: worker.told is None)
    assert worker.served == site.own
    assert not worker.gave_up.is_set()
    await make_active(site, site.explaining, "good")
    await worker.until(lambda: worker.served == site.explaining)


async def test_a_candidate_that_was_mended_is_tried_again_by_the_next_attempt(site: Site, tmp_path: Path) -> None:
    worker = Follower(site)
    await propose(site, await damaged(site), "first")
    await worker.until(lambda: worker.told == ("first", PreparationState.REFUSED, "bundle_corrupt"))
    await site.activation.withdraw("first", code="bundle_corrupt")
    BundleStore(site.store).put(tmp_path / "half")
    await propose(site, site.half, "second")
    await worker.until(lambda: worker.told == ("second", PreparationState.PREPARED, None))


async def test_a_candidate_that_is_withdrawn_is_let_go(site: Site) -> None:
    worker = Follower(site)
    await propose(site, site.half, "one")
    await worker.until(lambda: worker.told == ("one", PreparationState.PREPARED, None))
    await site.activation.withdraw("one", code="timeout")
    await worker.until(lambda: worker.told is None)
    assert worker.served == site.own


async def test_two_activations_in_a_row_and_the_way_back(site: Site) -> None:
    worker = Follower(site)
    for attempt, digest in (("1", site.half), ("2", site.explaining), ("3", site.half), ("4", site.own)):
        await propose(site, digest, attempt)
        await worker.until(lambda: worker.told is not None and worker.told[1] is PreparationState.PREPARED)
        await site.activation.activate(attempt, served=site.own)
        await worker.until(lambda digest=digest: worker.served == digest)
    assert (await site.activation.read()).previous == site.half


async def test_a_worker_that_missed_two_activations_serves_the_last(site: Site) -> None:
    worker = Follower(site)
    await worker.following.begin()
    await make_active(site, site.half, "1")
    await make_active(site, site.explaining, "2")
    await worker.until(lambda: worker.served == site.explaining)


async def test_a_worker_that_starts_later_loads_the_active_bundle_first(site: Site) -> None:
    await make_active(site, site.half, "1")
    worker = Follower(site)
    await worker.following.begin()
    assert worker.served == site.half


async def test_a_worker_that_starts_during_an_attempt_prepares_the_candidate(site: Site) -> None:
    await propose(site, site.half, "1")
    worker = Follower(site)
    await worker.following.begin()
    await worker.until(lambda: worker.told == ("1", PreparationState.PREPARED, None))


async def test_a_bundle_that_is_activated_while_a_worker_comes_up_serves_from_its_first_film(
    site: Site, queue: JobQueue, redis_client: Redis
) -> None:
    worker = Follower(site)

    async def compare(*, is_start: bool = False) -> None:
        # By an operator to whom no worker was listed yet.
        await make_active(site, site.half, "1")

    upkeep = Upkeep(
        queue,
        compare=compare,
        follower=worker.following,
        policies=PolicyFollower(Policies(redis_client), OperatingTables(redis_client), bundles=worker.bundles),
        status=lambda: status_of("late", worker.bundles.serving, preparation=None, threads=1, sandbox="seccomp"),
        readiness=Readiness(),
        watchdog=Watchdog(seconds=60),
        settings=site.settings,
    )
    assert await upkeep.wait_for_redis(asyncio.Event())
    assert worker.served == site.half
    assert [told.model.digest for told in await queue.workers()] == [site.half]


@pytest.mark.parametrize(
    ("active", "error"), [(damaged, BundleCorrupt), (absent, BundleNotFound), (scoring_differently, BundleCorrupt)]
)
async def test_a_worker_that_cannot_load_the_active_bundle_does_not_start(
    site: Site, active: Callable[[Site], Awaitable[str]], error: type[Exception]
) -> None:
    await make_active(site, await active(site), "1")
    with pytest.raises(error):
        await Follower(site).following.begin()


async def test_a_pinned_worker_refuses_every_other_bundle(site: Site) -> None:
    pinned = Follower(site, bundle_digest=site.own)
    await propose(site, site.half, "1")
    await pinned.until(lambda: pinned.told == ("1", PreparationState.REFUSED, "bundle_incompatible"))
    await site.activation.activate("1")
    await pinned.until(pinned.gave_up.is_set)
    assert isinstance(pinned.following.failure, BundleIncompatible)
    with pytest.raises(BundleIncompatible, match="CXR_WORKER_BUNDLE_DIGEST pins"):
        await Follower(site, bundle_digest=site.own).following.begin()


async def test_a_running_worker_that_cannot_serve_what_is_active_gives_up_instead_of_going_on(site: Site) -> None:
    worker = Follower(site)
    await worker.following.begin()
    await make_active(site, await damaged(site), "1")
    await worker.until(worker.gave_up.is_set)
    assert isinstance(worker.following.failure, BundleCorrupt)


async def test_workers_give_a_redis_that_lost_its_memory_the_active_bundle_back(
    site: Site, redis_client: Redis
) -> None:
    worker = Follower(site)
    await make_active(site, site.half, "1")
    await worker.until(lambda: worker.served == site.half)
    await redis_client.flushall()
    await worker.following.step()
    assert worker.served == site.half
    assert (await site.activation.read()).active == site.half
    late = Follower(site)
    await late.following.begin()
    assert late.served == site.half


@pytest.fixture
async def mortal_client(mortal_redis_server: RedisServer) -> AsyncIterator[Redis]:
    async with connect_gateway(mortal_redis_server.settings) as client:
        yield client


async def test_redis_may_be_away_between_the_two_phases(
    site: Site, mortal_redis_server: RedisServer, mortal_client: Redis
) -> None:
    activation = BundleActivation(mortal_client)
    worker = Follower(site, activation)
    await activation.propose(site.half, attempt="1", by="me", seconds=60, seen=await activation.read())
    await worker.until(lambda: worker.told == ("1", PreparationState.PREPARED, None))
    mortal_redis_server.kill()
    with pytest.raises(QueueUnavailable):
        await worker.following.step()
    assert (worker.served, worker.told) == (site.own, ("1", PreparationState.PREPARED, None))
    mortal_redis_server.start()
    await activation.activate("1", served=site.own)
    await worker.until(lambda: worker.served == site.half)
