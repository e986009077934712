"""The services of the compose file as processes of this machine: same commands, variables, files and healthchecks.

What a container has of its own is translated: a mount's place into the directory that is mounted there, a port into a
free one, another service's name into loopback. Nothing else is changed.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import httpx
import yaml

from services.jobs.settings import variable_names
from tests.support.command_line import cxr_triage
from tests.support.deployment import ROOT, compose
from tests.support.gateway import START_SECONDS, ServiceProcess, plain_get, wait_until
from tests.support.ports import free_ports
from tests.support.tools import tool

_DEPLOY: Final = ROOT / "deploy"
# What listens where in the containers; the test of this file compares it with what the file says.
PORTS: Final = {
    "redis": 6379,
    "api": 8080,
    "worker-cpu": 9091,
    "dimse": 11112,
    "dimse-metrics": 9092,
    "deliver": 9093,
    "redis-exporter": 9121,
    "prometheus": 9090,
}
# The entry points of images that are not ours.
_PROGRAMS: Final = {"redis-exporter": "prometheus-redis-exporter", "prometheus": "prometheus"}
_SCRIPTS: Final = Path(sys.executable).parent


class Composed:
    """One installation below ``directory``: its secrets, its volumes, and processes by the names of their services."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.secrets = directory / "secrets"
        self._ports = dict(zip(PORTS.values(), free_ports(len(PORTS)), strict=True))
        self.processes: dict[str, ServiceProcess] = {}
        made = cxr_triage("secrets", "new", self.secrets)
        assert made.returncode == 0, made.stderr
        self.admin = made.stdout.strip()
        (directory / "files").mkdir()
        for volume in compose()["volumes"]:
            (directory / "volumes" / volume).mkdir(parents=True, mode=0o700)

    def port(self, inside: int) -> int:
        """Return the port here that stands for one of the containers."""
        return self._ports[inside]

    def run(self, service: str) -> ServiceProcess:
        """Start a service as its container would."""
        command, *arguments = self._command(service)
        if command == "redis-server":  # the image leaves the port to Redis
            arguments += ["--port", str(self.port(PORTS["redis"]))]
        program = _SCRIPTS / command if command == "cxr-triage" else tool(command)
        self.processes[service] = _Started(program, arguments, self._home(service), self.environment(service))
        return self.processes[service]

    def start(self, service: str) -> ServiceProcess:
        """Start a service, and return when its healthcheck passes."""
        started = self.run(service)
        wait_until(
            lambda: self.is_healthy(service) or not started.is_running,
            seconds=START_SECONDS,
            every_seconds=0.25,  # a healthcheck is a process
            what=f"{service} healthy",
        )
        assert started.is_running, started.output[-3000:]
        return started

    def stop(self, service: str) -> int:
        """Stop a service as Docker does; return its exit status."""
        return self.processes.pop(service).stop()

    def stop_all(self) -> None:
        """End whatever still runs, the last that was started first."""
        for service in reversed(list(self.processes)):
            self.stop(service)

    def environment(self, service: str) -> dict[str, str]:
        """Return what the container's process finds in its environment, beside what any process does."""
        facts = compose()["services"][service]
        told: dict[str, str] = {}
        for file in facts.get("env_file", []):
            told |= dict(line.split("=", 1) for line in self._place(file).read_text().splitlines())
        told |= {name: str(value) for name, value in facts.get("environment", {}).items()}
        ours = {name for name in told if name.startswith("CXR_")}
        assert ours <= set(variable_names())
        home = self._home(service)
        usual = {"PATH": os.environ["PATH"], "HOME": str(home / "home"), "TMPDIR": str(home / "tmp")}
        # How full the disk of a test machine is says nothing of us.
        spare = {"CXR_SPOOL_MINIMUM_FREE_RATIO": "0.0"} if ours else {}
        return usual | spare | {name: self._here(service, value) for name, value in told.items()}

    def is_healthy(self, service: str) -> bool:
        """Return whether the service's healthcheck passes: its own, else that of its image."""
        kind, *words = self._healthcheck(service)
        text = words[-1] if kind == "CMD-SHELL" else ""
        if kind == "CMD-SHELL":
            words = ["bash", "-c", text.replace("redis-cli", f"redis-cli -p {self.port(PORTS['redis'])}")]
        elif words[0] == "wget":  # busybox of the image; here its address is asked
            return _answers(self._here(service, words[-1]))
        else:
            words = [sys.executable if word == "python" else self._here(service, word) for word in words]
        return subprocess.run(words, capture_output=True, check=False, timeout=60).returncode == 0

    def strays(self, service: str) -> list[str]:
        """Return what a process wrote that no volume of its container would have kept: its root is read-only."""
        home = self._home(service)
        return [str(path.relative_to(home)) for place in ("home", "work") for path in (home / place).rglob("*")]

    def _command(self, service: str) -> list[str]:
        facts = compose()["services"][service]
        if "command" in facts:
            told = facts["command"]
        else:
            told = json.loads(_of_image(facts["build"]["target"], r"^CMD (\[.*\])$"))
        prefix = [_PROGRAMS[service]] if service in _PROGRAMS else []
        return [*prefix, *(self._here(service, word) for word in told)]

    def _healthcheck(self, service: str) -> list[str]:
        facts = compose()["services"][service]
        if "healthcheck" in facts:
            return list(facts["healthcheck"]["test"])
        return ["CMD", *json.loads(_of_image(facts["build"]["target"], r"^    CMD (\[.*\])$"))]

    def _home(self, service: str) -> Path:
        home = self.directory / "containers" / service
        for place in ("home", "work", "tmp"):
            (home / place).mkdir(parents=True, exist_ok=True)
        return home

    def _here(self, service: str, text: str) -> str:
        """Return a word of a container in the words of this machine."""
        mounts = [mount.split(":") for mount in compose()["services"][service].get("volumes", [])]
        sources = {target: source for source, target, *_ in mounts}
        if sources:
            places = "|".join(map(re.escape, sorted(sources, key=len, reverse=True)))
            text = re.sub(rf"(?:^|(?<==))({places})(?![\w-])", lambda found: str(self._source(sources[found[1]])), text)
        return self._listening(text)

    def _listening(self, text: str) -> str:
        """Return a text with loopback where it names a service and a port; a user's name before a password is none."""
        end = r"(?=$|[/\"',\]\s])"
        names = "|".join(sorted(compose()["services"], key=len, reverse=True))
        text = re.sub(rf"(?<=[/@\s\"'\[,])(?:{names})(?=:\d+{end})", "127.0.0.1", text)
        whole = {str(inside): str(here) for inside, here in self._ports.items()}
        return re.sub(rf"(?:(?<=:)|^)\d+{end}", lambda found: whole.get(found[0], found[0]), text)

    def _source(self, source: str) -> Path:
        if source == "./prometheus":
            return self._scrapes()
        return self._place(source) if source.startswith("./") else self.directory / "volumes" / source

    def _place(self, source: str) -> Path:
        inside = Path(source.removeprefix("./"))
        return self.directory / inside if inside.parts[0] == "secrets" else _DEPLOY / inside

    def _scrapes(self) -> Path:
        """Return a copy of Prometheus' configuration that finds the services on this machine."""
        copy = self.directory / "files" / "prometheus"
        copy.mkdir(exist_ok=True)
        for path in sorted((_DEPLOY / "prometheus").glob("*.rules.yml")):
            rules = yaml.safe_load(path.read_text())
            for group in rules["groups"]:
                group["interval"] = "1s"
            (copy / path.name).write_text(yaml.safe_dump(rules))
        configuration = yaml.safe_load((_DEPLOY / "prometheus" / "prometheus.yml").read_text())
        configuration["global"] |= {"scrape_interval": "2s", "scrape_timeout": "2s", "evaluation_interval": "1s"}
        for job in configuration["scrape_configs"]:
            self._find_here(job)
        (copy / "prometheus.yml").write_text(yaml.safe_dump(configuration))
        return copy

    def _find_here(self, job: dict[str, Any]) -> None:
        named = [(name, found["port"]) for found in job.pop("dns_sd_configs", []) for name in found["names"]]
        for found in job.pop("static_configs", []):
            named += [(target.rsplit(":", 1)[0], int(target.rsplit(":", 1)[1])) for target in found["targets"]]
        assert {name for name, _ in named} <= set(compose()["services"]) | {"localhost", "127.0.0.1"}, job
        job["static_configs"] = [{"targets": sorted({f"127.0.0.1:{self.port(port)}" for _, port in named})}]
        if "authorization" in job:
            job["authorization"]["credentials_file"] = self._here(
                "prometheus", job["authorization"]["credentials_file"]
            )


class _Started(ServiceProcess):
    """A program in an empty directory of its own."""

    def __init__(self, program: Path, arguments: list[str], home: Path, environment: dict[str, str]) -> None:
        self._log = home / "log"
        self._log_start = 0
        with self._log.open("ab") as output:
            self.process = subprocess.Popen(
                [program, *arguments], env=environment, cwd=home / "work", stdout=output, stderr=output
            )


def _answers(url: str) -> bool:
    try:
        return plain_get(url, timeout=10).is_success
    except httpx.TransportError:
        return False


def _of_image(target: str, pattern: str) -> str:
    """Return the last match in a stage of the Dockerfile."""
    stages = re.split(r"^FROM ", (_DEPLOY / "Dockerfile").read_text(), flags=re.MULTILINE)
    (stage,) = [stage for stage in stages if re.match(rf"\S+ AS {target}\n", stage)]
    found: str = re.findall(pattern, stage, re.MULTILINE)[-1]
    return found
