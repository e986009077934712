"""An installation with Prometheus beside it: every process for itself, scraped every other second, by our rules."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx
import yaml

from services.api.scopes import Role
from services.jobs.rights import RedisUser, acl_file
from tests.support.access import make_key
from tests.support.alert_rules import ALERTS, FOLDER, RECORDING
from tests.support.delivery import DeliveryProcess, hook
from tests.support.dimse import DimseProcess
from tests.support.gateway import GatewayProcess, ServiceProcess, WorkerProcess, plain_get, wait_until
from tests.support.ports import free_ports
from tests.support.receivers import Receiver
from tests.support.redis_server import RedisServer
from tests.support.tools import tool

_PASSWORD: Final = "password-of-the-exporter"
SITE: Final = "default"


@dataclass(kw_only=True)
class Monitored:
    """What runs. Processes that a test ends are not started again."""

    redis: RedisServer
    gateway: GatewayProcess
    worker: WorkerProcess
    dimse: DimseProcess
    delivery: DeliveryProcess
    prometheus_url: str
    key: str

    def ask(self, path: str, **parameters: str) -> Any:
        """Ask Prometheus' API; return its ``data``."""
        answer = plain_get(f"{self.prometheus_url}/api/v1/{path}", params=parameters)
        assert answer.is_success, answer.text
        return answer.json()["data"]

    def query(self, expression: str) -> list[dict[str, Any]]:
        """Return what an expression amounts to now."""
        found: list[dict[str, Any]] = self.ask("query", query=expression)["result"]
        return found

    def raised(self) -> set[str]:
        """Return the alerts whose expression holds now, whether for long enough or not yet."""
        return {alert["labels"]["alertname"] for alert in self.ask("alerts")["alerts"]}

    def wait_raised(self, *alerts: str) -> None:
        """Return once each of these is raised."""
        self.wait_for(lambda: self.raised() >= set(alerts), f"{alerts}, not only {self.raised()}")

    def wait_for(self, condition: Callable[[], object], what: str) -> None:
        """Return once Prometheus knows something; it evaluates rules every second."""
        wait_until(lambda: bool(condition()), every_seconds=0.2, what=what)


@contextmanager
def monitored(directory: Path, *, redis_binary: Path, bundle: Path) -> Iterator[Monitored]:
    """Run everything for the block; Prometheus has asked each process once when it begins."""
    with ExitStack() as stack:
        server = _redis(stack, redis_binary, directory)
        key = make_key(directory / "keys.json", Role.ADMIN)
        sites: dict[str, object] = {"queue_sites": f'["{SITE}"]'}
        worker_port, exporter_port, prometheus_port = free_ports(3)
        gateway = stack.enter_context(_gateway(directory, server, sites))
        gateway.wait_ready()
        receiver = stack.enter_context(Receiver(directory / "receiver", "http"))
        receiver.start()
        delivery = stack.enter_context(DeliveryProcess(directory, server, hook(receiver.port, directory)))
        delivery.wait_ready()
        dimse = stack.enter_context(DimseProcess(directory, redis_url=server.url))
        dimse.wait_ready()
        near: dict[str, object] = {"worker_metrics_port": worker_port}
        worker = stack.enter_context(WorkerProcess(directory, redis_url=server.url, bundle=bundle, **(near | sites)))
        _exporter(stack, server, directory, exporter_port)
        ports = {
            "cxr-api": gateway.port,
            "cxr-worker": worker_port,
            "cxr-dimse": dimse.ports()["metrics_port"],
            "cxr-delivery": delivery.ports()["metrics_port"],
            "redis": exporter_port,
        }
        folder = _configured(directory / "prometheus", ports, key)
        _prometheus(stack, folder, prometheus_port)
        running = Monitored(
            redis=server,
            gateway=gateway,
            worker=worker,
            dimse=dimse,
            delivery=delivery,
            prometheus_url=f"http://127.0.0.1:{prometheus_port}",
            key=key,
        )
        running.wait_for(lambda: _scrapes(running, ports), "a scrape of every process")
        yield running


def _gateway(directory: Path, server: RedisServer, sites: dict[str, object]) -> GatewayProcess:
    keys_file = directory / "keys.json"
    settings = sites | {"api_keys_file": keys_file, "api_blind_share": 0.5}
    return GatewayProcess(directory, redis_url=server.url, port=0, **settings)


def _redis(stack: ExitStack, binary: Path, directory: Path) -> RedisServer:
    """Start a Redis where the exporter has its rights and no more; the others sign in as ``default``."""
    (place := directory / "redis").mkdir()
    lines = acl_file(dict.fromkeys(RedisUser, _PASSWORD)).splitlines()
    users = ["user default on nopass ~* &* +@all", *(line for line in lines if line.startswith("user exporter"))]
    (place / "users.acl").write_text("\n".join(users) + "\n")
    limits = ("--maxmemory", "256mb", "--aclfile", str(place / "users.acl"))
    server = RedisServer(binary, place, *limits)
    server.start()
    stack.callback(server.stop)
    return server


def _exporter(stack: ExitStack, server: RedisServer, directory: Path, port: int) -> None:
    told = {
        "REDIS_ADDR": server.url,
        "REDIS_USER": str(RedisUser.EXPORTER),
        "REDIS_PASSWORD": _PASSWORD,
        "REDIS_EXPORTER_SET_CLIENT_NAME": "false",
        "REDIS_EXPORTER_CONFIG_COMMAND": "-",
    }
    command = [f"--web.listen-address=127.0.0.1:{port}"]
    _run(stack, [tool("prometheus-redis-exporter"), *command], directory / "exporter.log", told)


def _configured(folder: Path, ports: dict[str, int], key: str) -> Path:
    """Copy what we ship: targets by address in place of by name, every other second in place of every 15."""
    folder.mkdir()
    document = yaml.safe_load((FOLDER / "prometheus.yml").read_text())
    assert {job["job_name"] for job in document["scrape_configs"]} == ports.keys()
    document["global"] = {"scrape_interval": "2s", "scrape_timeout": "2s", "evaluation_interval": "1s"}
    del document["alerting"]
    for job in document["scrape_configs"]:
        del job["dns_sd_configs"]
        job["static_configs"] = [{"targets": [f"127.0.0.1:{ports[job['job_name']]}"]}]
        if "authorization" in job:
            job["authorization"] = {"credentials_file": str(folder / "metrics.key")}
    (folder / "metrics.key").write_text(key)
    (folder / "prometheus.yml").write_text(yaml.safe_dump(document))
    for rules in (ALERTS, RECORDING):
        (folder / rules.name).write_text(
            re.sub(r"^    interval: \w+$", "    interval: 1s", rules.read_text(), flags=re.M)
        )
    return folder


def _prometheus(stack: ExitStack, folder: Path, port: int) -> None:
    command = [
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    _run(stack, [tool("prometheus"), *command], folder / "prometheus.log", {})


def _run(stack: ExitStack, command: list[str | Path], log: Path, variables: dict[str, str]) -> None:
    with log.open("wb") as output:
        process = subprocess.Popen(command, env=os.environ | variables, stdout=output, stderr=output)
    stack.callback(_end, process)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    process.wait(timeout=60)


def _scrapes(running: Monitored, ports: dict[str, int]) -> bool:
    for process in (running.gateway, running.worker, running.dimse, running.delivery):
        _check_runs(process)
    try:
        if plain_get(f"{running.prometheus_url}/-/ready").is_error:
            return False
        up = {result["metric"]["job"] for result in running.query("up == 1")}
    except httpx.TransportError:
        return False
    return up == ports.keys()


def _check_runs(process: ServiceProcess) -> None:
    assert process.is_running, process.output[-3000:]
