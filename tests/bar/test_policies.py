"""Two admins save policies for two models while workers are killed: no film is decided by what is not for its model."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from model.bundle import read_bundle
from services.jobs.operating_tables import table_of
from tests.bar.conftest import MeasureRow
from tests.support.gateway import wait_until
from tests.support.parts import Parts
from tests.support.policies import bright_film, choose, decided, write_reported_bundle
from tests.support.redis_server import RedisServer

SITE: Final = "default"
KILLS: Final = 3
FILMS_EACH: Final = 12  # between two kills
SAVES: Final = 40


@pytest.mark.row
def test_no_film_is_decided_by_a_policy_of_another_model(
    mortal_redis_server: RedisServer, tmp_path: Path, measure_row: MeasureRow
) -> None:
    bundle = write_reported_bundle(tmp_path / "own", name="own")
    other = table_of(read_bundle(write_reported_bundle(tmp_path / "other", name="other")))
    digests = read_bundle(bundle).digest, other.model.digest
    parts = Parts(directory=tmp_path, server=mortal_redis_server, bundle=bundle)
    with measure_row("P1", "Policies of two models, two admins, killed workers") as row, parts.gateway() as gateway:
        with mortal_redis_server.client() as redis:
            redis.hset("{cxr}:tables", other.model.digest, other.model_dump_json())
        records, refusals = _films_while_saving(parts, gateway.client, digests)
        with gateway.client() as client:
            document = client.get(f"/v1/policies/{SITE}").json()
        chosen = {policy["version"]: policy for policy in document["history"]}
        scored = [record for record in records if record["policy"] is not None and record["policy"]["version"]]
        row.mark("films_not_scored", sum(record["policy"] is None for record in records), exactly=0)
        row.mark("films_by_a_policy", len(scored), at_least=KILLS * FILMS_EACH // 2)
        row.mark(
            "of_another_model", sum(_of(record, chosen) != record["model"]["digest"] for record in scored), exactly=0
        )
        row.mark(
            "another_threshold", sum(_threshold(record, chosen) != record["threshold"] for record in scored), exactly=0
        )
        row.mark("missing_versions", len(set(range(1, document["version"] + 1)) - chosen.keys()), exactly=0)
        row.mark("versions", document["version"], exactly=2 * SAVES)
        row.note("refused_saves", refusals)


def _of(record: dict[str, Any], chosen: dict[int, Any]) -> str:
    return str(chosen[record["policy"]["version"]]["model"]["digest"])


def _threshold(record: dict[str, Any], chosen: dict[int, Any]) -> float:
    return float(chosen[record["policy"]["version"]]["threshold"])


def _films_while_saving(
    parts: Parts, new_client: Callable[[], httpx.Client], digests: tuple[str, str]
) -> tuple[list[dict[str, Any]], int]:
    """Return the records of films that were sent while both admins saved and workers died, and the saves refused."""
    records: list[dict[str, Any]] = []
    begun, seeds = threading.Event(), count()

    def until_saved(client: httpx.Client, digest: str, threshold: float, name: str) -> int:
        for refused in count():
            seen = client.get(f"/v1/policies/{SITE}").json()["version"]
            answer = choose(client, SITE, digest, threshold, seen=seen, name=name)
            if answer.is_success:
                return refused
            assert answer.status_code == 412, answer.text
        raise AssertionError

    def save(admin: int) -> int:
        assert begun.wait(120)
        with new_client() as client:
            return sum(
                until_saved(client, digests[admin], 0.1 + 0.1 * admin + 0.002 * step, f"admin-{admin}")
                for step in range(SAVES)
            )

    def is_told() -> bool:
        return bool(client.get(f"/v1/models/{digests[0]}/operating-points").json().get("table"))

    with ThreadPoolExecutor(2) as admins, new_client() as client:
        refusals = [admins.submit(save, admin) for admin in range(2)]
        for kill in range(KILLS):
            with parts.worker(name=f"worker-{kill}") as worker:
                wait_until(is_told, what="the worker's table")
                begun.set()
                records += [decided(client, bright_film(0.35, seed=next(seeds)), site=SITE) for _ in range(FILMS_EACH)]
                worker.kill()
        return records, sum(refused.result() for refused in refusals)
