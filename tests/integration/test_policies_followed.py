"""Workers follow policies: two processes, a restart, another model's policy, and a Redis that lost everything."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest
from redis.asyncio import Redis

from model.bundle import read_bundle
from services.jobs import keys
from services.jobs.connection import connect_gateway
from services.jobs.operating_tables import OperatingTables, table_of
from tests.support.gateway import GatewayProcess, WorkerProcess, wait_until
from tests.support.policies import bright_film, choose, decided, write_reported_bundle
from tests.support.redis_server import RedisServer

SITE = "north"
_Answer = TypeVar("_Answer")


class House:
    """A gateway and workers in one directory."""

    def __init__(self, directory: Path, redis: RedisServer) -> None:
        self.directory = directory
        self.redis = redis
        self.bundle = write_reported_bundle(directory / "bundle")
        self.digest = read_bundle(self.bundle).digest
        self._films = 0

    @contextmanager
    def gateway(self) -> Iterator[httpx.Client]:
        with GatewayProcess(self.directory, redis_url=self.redis.url) as process:
            process.wait_ready()
            with process.client() as client:
                yield client

    def worker(self, **settings: object) -> WorkerProcess:
        return WorkerProcess(
            self.directory,
            redis_url=self.redis.url,
            bundle=self.bundle,
            worker_decoders=1,
            worker_threads=1,
            **settings,
        )

    def record(self, client: httpx.Client, brightness: float = 0.35) -> dict[str, Any]:
        """Return the record of a new film of this site, decided."""
        self._films += 1
        return decided(client, bright_film(brightness, seed=self._films), site=SITE)

    def until_decided_by(self, client: httpx.Client, version: int) -> dict[str, Any]:
        """Return the record of the first film that this version decides."""
        records: list[dict[str, Any]] = []

        def is_decided() -> bool:
            records.append(self.record(client))
            return bool(records[-1]["policy"]["version"] == version)

        wait_until(is_decided, what=f"a film decided by version {version}")
        return records[-1]

    def until_known(self, client: httpx.Client) -> None:
        """Wait for a worker that has told its table."""
        path = f"/v1/models/{self.digest}/operating-points"
        wait_until(lambda: bool(client.get(path).json().get("table")), what="a worker's table")

    def ask(self, question: Callable[[Redis], Awaitable[_Answer]]) -> _Answer:
        async def asked() -> _Answer:
            async with connect_gateway(self.redis.settings) as client:
                return await question(client)

        return asyncio.run(asked())


@pytest.fixture
def house(tmp_path: Path, mortal_redis_server: RedisServer) -> House:
    return House(tmp_path, mortal_redis_server)


def test_a_worker_that_starts_again_decides_by_the_policy_from_its_first_film(house: House) -> None:
    with house.gateway() as client:
        with house.worker():
            house.until_known(client)
            assert choose(client, SITE, house.digest, 0.3, seen=0).status_code == 200
            assert house.until_decided_by(client, 1)["outcome"] == "flagged"
        with house.worker():
            assert house.record(client)["policy"]["version"] == 1


def test_a_policy_for_another_model_never_decides(house: House) -> None:
    other = table_of(read_bundle(write_reported_bundle(house.directory / "other", name="other")))

    with house.gateway() as client, house.worker() as worker:
        house.until_known(client)
        house.ask(lambda redis: OperatingTables(redis).keep(other))
        assert choose(client, SITE, other.model.digest, 0.0, seen=0).status_code == 200
        assert choose(client, SITE, house.digest, 0.2, seen=1).status_code == 200
        assert house.until_decided_by(client, 2)["threshold"] == 0.2
        assert choose(client, SITE, other.model.digest, 0.05, seen=2).status_code == 200
        wait_until(lambda: worker.output.count("policy followed") == 3, what="a worker that knows the third")
        assert house.record(client)["policy"]["version"] == 2
        assert choose(client, SITE, house.digest, 0.25, seen=3).status_code == 200
        record = house.until_decided_by(client, 4)
        assert (record["threshold"], record["model"]["digest"]) == (0.25, house.digest)
        document = client.get(f"/v1/policies/{SITE}").json()
        assert document["policy"]["version"] == 4
        assert [policy["version"] for policy in document["policies"]] == [4, 3]
        assert [policy["version"] for policy in document["history"]] == [4, 3, 2, 1]


def test_a_worker_goes_on_by_what_it_knows_and_gives_it_back_to_a_redis_that_lost_it(house: House) -> None:
    with house.gateway() as client, house.worker() as worker:
        house.until_known(client)
        assert choose(client, SITE, house.digest, 0.2, seen=0).status_code == 200
        assert choose(client, SITE, house.digest, 0.3, seen=1).status_code == 200
        house.until_decided_by(client, 2)
        with house.redis.client() as redis:
            redis.delete(keys.POLICIES, keys.policy_history(SITE), keys.TABLES)
        assert house.record(client)["policy"]["version"] == 2
        wait_until(lambda: client.get(f"/v1/policies/{SITE}").json()["version"] == 2, what="the policy given back")
        house.until_known(client)
        assert house.record(client)["policy"]["version"] == 2
        assert "policies forgotten by Redis" in worker.output
        assert choose(client, SITE, house.digest, 0.25, seen=2).headers["etag"] == '"3"'


def test_the_trail_gives_back_the_policies_that_nobody_remembers(house: House) -> None:
    with house.gateway() as client, house.worker():
        house.until_known(client)
        for version, threshold in enumerate((0.2, 0.25, 0.3)):
            assert choose(client, SITE, house.digest, threshold, seen=version).status_code == 200
        before = client.get(f"/v1/policies/{SITE}").json()
    with house.redis.client() as redis:
        redis.flushall()
    with house.gateway() as client, house.worker():
        assert house.record(client)["policy"] == {"site": SITE, "version": 3, "name": "custom"}
        after = client.get(f"/v1/policies/{SITE}").json()
        assert after["history"] == before["history"]
        assert after["policies"] == before["policies"]
        house.until_known(client)
        assert choose(client, SITE, house.digest, 0.1, seen=3).headers["etag"] == '"4"'


def test_a_policy_that_somebody_damaged_in_redis_stays_what_workers_knew(house: House) -> None:
    with house.gateway() as client, house.worker() as worker:
        house.until_known(client)
        assert choose(client, SITE, house.digest, 0.3, seen=0).status_code == 200
        house.until_decided_by(client, 1)
        with house.redis.client() as redis:
            redis.hset(keys.POLICIES, f"{SITE}|{house.digest}", '{"version":1,"threshold":1.0}')
            redis.hset(keys.POLICIES, "revision", "1")
        wait_until(lambda: "a policy cannot be read" in worker.output, what="a worker that says so")
        assert house.record(client)["policy"]["version"] == 1
        assert house.record(client)["threshold"] == 0.3
