"""Every service of the compose file, run as processes: its commands, variables, ports, paths and healthchecks.

There is no Docker engine here. What only one can show is not shown: images, networks, limits, a root that is read-only.
"""

from __future__ import annotations

import base64
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from pydicom import dcmread

from tests.support.access import bearer
from tests.support.composed import PORTS, Composed
from tests.support.delivery import SECRET, hook
from tests.support.deployment import FOLDER, compose
from tests.support.dimse import send
from tests.support.films import dicom_film, png_film
from tests.support.gateway import plain_client, plain_get, wait_until
from tests.support.receivers import Receiver
from tests.support.tools import require_tools

# Grafana is in no Debian package: its part of the file is compared with the folders that it mounts.
NOT_RUN = {"grafana"}
RUN = ["redis", "api", "worker-cpu", "dimse", "deliver", "redis-exporter", "prometheus"]


@pytest.fixture(scope="module")
def dashboard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Receiver]:
    with Receiver(tmp_path_factory.mktemp("dashboard") / "hook", "http") as receiver:
        receiver.start()
        yield receiver


@pytest.fixture(scope="module")
def composed(dashboard: Receiver, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Composed]:
    require_tools("redis-server", "redis-cli", "prometheus", "prometheus-redis-exporter")
    installation = Composed(tmp_path_factory.mktemp("composed"))
    with (installation.secrets / "dimse.env").open("a") as file:
        file.write('CXR_DIMSE_CALLERS={"TEST_MODALITY": "default"}\n')
    targets = installation.secrets / "targets"
    (targets / "secret").write_text(SECRET)
    (targets / "targets.toml").write_text(hook(dashboard.port, targets))
    try:
        for service in RUN:
            installation.start(service)
        yield installation
    finally:
        installation.stop_all()


@pytest.fixture
def client(composed: Composed) -> Iterator[httpx.Client]:
    url = f"http://127.0.0.1:{composed.port(PORTS['api'])}"
    with plain_client(base_url=url, headers=bearer(composed.admin)) as found:
        yield found


def test_every_service_is_run_here_or_named_as_one_that_is_not() -> None:
    assert set(compose()["services"]) == {*RUN, "worker-gpu", *NOT_RUN}


def test_user_of_redis_is_not_taken_for_the_service_whose_name_it_has(tmp_path: Path) -> None:
    installation = Composed(tmp_path)
    redis = f"127.0.0.1:{installation.port(PORTS['redis'])}"
    for service in ("api", "dimse", "deliver", "worker-cpu"):
        told = re.fullmatch(rf"redis://(\w+):(.+)@{redis}/0", installation.environment(service)["CXR_REDIS_URL"])
        assert told
        user, password = told.groups()
        file = installation.secrets / f"{user}.env"
        file.write_text(file.read_text().replace(password, f"7{password}"))
        assert installation.environment(service)["CXR_REDIS_URL"] == f"redis://{user}:7{password}@{redis}/0"


def test_film_that_is_posted_is_decided_and_its_files_lie_in_the_volumes(
    composed: Composed, client: httpx.Client
) -> None:
    wait_until(lambda: client.get("/health/ready").is_success, what="the gateway's readiness")
    film = client.post(
        "/v1/instances", content=png_film(seed=1), headers={"Content-Type": "image/png"}, params={"wait": 30}
    ).json()
    wait_until(lambda: client.get(film["links"]["self"]).json()["state"] == "done", what="the outcome")
    volumes = composed.directory / "volumes"
    assert any(path.is_file() for path in (volumes / "spool").rglob(f"{film['id']}*"))
    assert {path.suffix for path in (volumes / "audit").iterdir() if path.is_file()} >= {".jsonl"}
    assert any("appendonly" in path.name for path in (volumes / "redis").rglob("*"))


def test_film_that_a_modality_sends_reaches_the_dashboard_of_the_targets_file(
    composed: Composed, client: httpx.Client, dashboard: Receiver
) -> None:
    film = dicom_film(seed=7)
    study = dcmread(io.BytesIO(film)).StudyInstanceUID
    ready = f"http://127.0.0.1:{composed.port(PORTS['dimse-metrics'])}/health/ready"
    wait_until(lambda: plain_get(ready).is_success, what="the listener's readiness")
    assert [answer.Status for answer in send(composed.port(PORTS["dimse"]), film)] == [0x0000]
    (shown,) = client.get(f"/v1/studies/{study}").json()["instances"]

    def told() -> bool:
        return any(shown["id"] in base64.b64decode(entry["body"]).decode() for entry in dashboard.kept())

    wait_until(told, what="word of the outcome")


def test_nobody_who_shows_no_key_gets_anything(composed: Composed, client: httpx.Client) -> None:
    for path in ("/v1/studies", "/metrics"):
        assert plain_get(f"{client.base_url}{path}").status_code == 401


def test_prometheus_scrapes_every_service_with_the_key_that_was_made_for_it(composed: Composed) -> None:
    jobs = {job["job_name"] for job in configuration(composed)["scrape_configs"]}
    assert len(jobs) == 5
    wait_until(lambda: {sample["metric"]["job"] for sample in ask(composed, "up == 1")} == jobs, what="every target")
    wait_until(lambda: bool(ask(composed, "redis_up == 1")), what="Redis")
    wait_until(lambda: bool(ask(composed, "redis_memory_max_bytes > 0")), what="the bound of deploy/redis.conf")


def test_prometheus_has_read_the_rules_and_none_fails(composed: Composed) -> None:
    def rules() -> list[dict[str, Any]]:
        groups = get(composed, "/api/v1/rules")["data"]["groups"]
        return [rule for group in groups for rule in group["rules"]]

    assert len(rules()) > 20
    wait_until(lambda: all(rule["health"] != "unknown" for rule in rules()), what="an evaluation of every rule")
    assert [rule["name"] for rule in rules() if rule["health"] != "ok"] == []


def test_queries_of_the_autoscaler_have_an_answer(composed: Composed) -> None:
    for rule in yaml.safe_load((FOLDER / "adapter" / "rules.yaml").read_text())["externalRules"]:
        query, answers = rule["metricsQuery"], list[dict[str, Any]]()
        assert rule["seriesQuery"] in query
        # Kept as they come: where the next scrape comes too late, on a busy machine, there is no answer for a while.
        wait_until(lambda query=query, kept=answers: bool(kept.extend(ask(composed, query)) or kept), what=query)  # type: ignore[misc]  # mypy 9106
        assert answers[0]["metric"] == {}
        assert float(answers[0]["value"][1]) == 0.0, "nobody waits"


def test_worker_whose_gpu_is_not_there_ends_instead_of_crawling_on_the_processor(composed: Composed) -> None:
    process = composed.run("worker-gpu")
    wait_until(lambda: not process.is_running, what="the end of a worker without a GPU")
    assert composed.stop("worker-gpu") == 2
    assert "cuda" in process.output.strip().splitlines()[-1].lower()


def test_processes_write_nowhere_but_into_their_volumes_and_stop_when_they_are_told_to(composed: Composed) -> None:
    written = {service: composed.strays(service) for service in RUN}
    assert written == {service: [] for service in RUN}
    ours = [service for service in reversed(RUN) if service in ("deliver", "dimse", "worker-cpu", "api", "redis")]
    assert {service: composed.stop(service) for service in ours} == dict.fromkeys(ours, 0)


def configuration(composed: Composed) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((composed.directory / "files/prometheus/prometheus.yml").read_text())
    return found


def ask(composed: Composed, query: str) -> list[dict[str, Any]]:
    """Return the samples that a query has now."""
    found: list[dict[str, Any]] = get(composed, "/api/v1/query", query=query)["data"]["result"]
    return found


def get(composed: Composed, path: str, **parameters: str) -> dict[str, Any]:
    url = f"http://127.0.0.1:{composed.port(PORTS['prometheus'])}{path}"
    answer = plain_get(url, params=parameters)
    assert answer.is_success, answer.text
    found: dict[str, Any] = json.loads(answer.text)
    return found


def test_everything_that_grafana_mounts_is_in_the_repository() -> None:
    mounted = [mount.split(":")[0] for mount in compose()["services"]["grafana"]["volumes"]]
    folders = [FOLDER.parent / source for source in mounted if source.startswith("./grafana")]
    assert len(folders) == 2
    assert all(any(path.is_file() for path in folder.rglob("*")) for folder in folders)
    assert Path("/var/lib/grafana/dashboards") == Path(
        yaml.safe_load(next((folders[0] / "dashboards").glob("*.y*ml")).read_text())["providers"][0]["options"]["path"]
    )
