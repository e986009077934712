"""The deployment files say what the program reads, every command exists, and no container may do more than it needs."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from services.cli import app as cli
from services.jobs.settings import DeliverySettings, DimseSettings, variable_names
from tests.support.deployment import ROOT, compose
from tests.support.tools import require_tools

COMPOSE = ROOT / "deploy" / "docker-compose.yml"
DOCKERFILE = ROOT / "deploy" / "Dockerfile"
SERVICES = ["redis", "api", "dimse", "deliver", "worker-cpu", "worker-gpu", "redis-exporter", "prometheus", "grafana"]
MONITORING = ["redis-exporter", "prometheus", "grafana"]
SECRETS = ["api.env", "worker.env", "dimse.env", "delivery.env", "exporter.env"]
# What listens where the host can reach it, and nothing else does.
PUBLISHED = {"api": "8080", "dimse": "11112", "prometheus": "9090", "grafana": "3000"}


def mounts(service: str) -> dict[str, str]:
    """Return source and mode by target."""
    return {mount.split(":")[1]: mount for mount in compose()["services"][service]["volumes"]}


@pytest.mark.parametrize(
    ("profile", "service"),
    [
        *(("cpu", "worker-cpu"), ("gpu", "worker-gpu"), ("dimse", "dimse"), ("deliver", "deliver")),
        *(("monitoring", service) for service in MONITORING),
    ],
)
def test_docker_compose_accepts_the_file(profile: str, service: str, tmp_path: Path) -> None:
    require_tools("docker-compose")
    shutil.copy(COMPOSE, tmp_path)
    for name in SECRETS:
        (tmp_path / "secrets").mkdir(exist_ok=True)
        (tmp_path / "secrets" / name).write_text("CXR_REDIS_URL=redis://user:password@redis:6379/0\n")
    command = ["docker-compose", "-f", str(tmp_path / COMPOSE.name), "--profile", profile, "config"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert service in yaml.safe_load(done.stdout)["services"]


def test_every_service_of_the_file_is_looked_at_here() -> None:
    assert set(SERVICES) == set(compose()["services"])


def test_everything_that_is_mounted_from_the_secrets_is_made_by_the_command(tmp_path: Path) -> None:
    assert CliRunner().invoke(cli, ["secrets", "new", str(tmp_path / "secrets")]).exit_code == 0
    named = set(re.findall(r"\./(secrets/[\w./-]+)", COMPOSE.read_text()))
    assert len(named) >= len(SECRETS)
    assert not [name for name in named if not (tmp_path / name).exists()]


def test_every_variable_of_the_compose_file_is_a_setting() -> None:
    named = set(re.findall(r"\bCXR_[A-Z_]+", COMPOSE.read_text()))
    assert named
    assert named <= set(variable_names())


@pytest.mark.parametrize("service", SERVICES)
def test_every_container_is_hardened(service: str) -> None:
    facts = compose()["services"][service]
    assert facts["read_only"] is True
    assert facts["cap_drop"] == ["ALL"]
    assert facts["security_opt"] == ["no-new-privileges:true"]
    assert facts["user"] not in ("root", "0", "0:0")
    assert "healthcheck" in facts or "HEALTHCHECK" in DOCKERFILE.read_text()
    assert int(facts["stop_grace_period"].removesuffix("s")) >= 10
    assert facts["pids_limit"] <= 256
    assert facts["mem_limit"] == facts["memswap_limit"], "swap would make a limit no limit"
    assert "privileged" not in facts
    assert all(re.search(r"noexec,nosuid,nodev", mount) for mount in facts["tmpfs"])
    assert not any("docker.sock" in mount for mount in facts["volumes"])


def test_redis_is_reached_by_those_only_that_have_a_user_of_it() -> None:
    document = compose()
    assert document["services"]["redis"]["networks"] == ["queue"]
    assert document["networks"]["queue"] == {"internal": True}
    clients = {name for name in SERVICES if "queue" in document["services"][name]["networks"]} - {"redis"}
    assert clients == {name for name in SERVICES if "env_file" in document["services"][name]}
    published = {
        name: document["services"][name]["ports"] for name in SERVICES if "ports" in document["services"][name]
    }
    assert {name: port.rsplit(":", 1)[1] for name, (port,) in published.items()} == PUBLISHED
    assert [name for name, (port,) in published.items() if not port.startswith("127.0.0.1:")] == ["dimse"]
    (listener,) = document["services"]["dimse"]["ports"]
    assert listener.startswith("${DIMSE_ADDRESS:-127.0.0.1}:"), "beyond this host only where its operator says so"


def test_who_calls_archives_is_not_on_the_network_of_the_gateway() -> None:
    services = compose()["services"]
    assert "ports" not in services["deliver"]
    assert [name for name in SERVICES if "pacs" in services[name]["networks"]] == ["dimse", "deliver"]
    assert [name for name in SERVICES if "front" in services[name]["networks"]] == ["api"]


@pytest.mark.parametrize("service", ["dimse", "deliver"])
def test_process_of_the_gateways_image_has_a_command_and_a_sign_of_life_of_its_own(service: str) -> None:
    facts = compose()["services"][service]
    assert facts["build"] == compose()["services"]["api"]["build"]
    assert facts["command"] == ["cxr-triage", service]
    port = facts["environment"][{"dimse": "CXR_DIMSE_METRICS_PORT", "deliver": "CXR_DELIVERY_METRICS_PORT"}[service]]
    assert f":{port}/health/live" in facts["healthcheck"]["test"][-1]
    assert "'.[dicom]'" in DOCKERFILE.read_text()


@pytest.mark.parametrize("command", ["api", "worker", "dimse", "deliver"])
def test_every_command_of_a_container_exists(command: str) -> None:
    named = {
        facts["command"][1] for facts in compose()["services"].values() if facts.get("command", [""])[0] == "cxr-triage"
    }
    named |= set(re.findall(r'^CMD \["cxr-triage", "(\w+)"\]$', DOCKERFILE.read_text(), re.MULTILINE))
    assert command in named
    assert CliRunner().invoke(cli, [command, "--help"]).exit_code == 0


def test_no_secret_is_in_the_files_and_none_is_given_to_another_process() -> None:
    services = compose()["services"]
    assert services["dimse"]["env_file"] == ["./secrets/dimse.env"]
    assert services["deliver"]["env_file"] == ["./secrets/delivery.env"]
    assert [name for name in SERVICES if "/run/targets" in mounts(name)] == ["deliver"]
    assert [name for name in SERVICES if "/run/tls" in mounts(name)] == ["dimse"]
    assert services["api"]["env_file"] == ["./secrets/api.env"]
    assert services["worker-cpu"]["env_file"] == services["worker-gpu"]["env_file"] == ["./secrets/worker.env"]
    assert "env_file" not in services["redis"]
    assert services["redis-exporter"]["env_file"] == ["./secrets/exporter.env"]
    assert [name for name in SERVICES if mounts(name).get("/run/keys", "").startswith("./secrets/prometheus:")] == [
        "prometheus"
    ]
    assert all(
        mounts(name)[place].endswith(":ro") for name, place in (("deliver", "/run/targets"), ("dimse", "/run/tls"))
    )
    assert "/run/keys" in mounts("api")
    assert mounts("api")["/run/keys"].endswith(":ro")
    assert not any("secrets/keys" in mount for name in SERVICES if name != "api" for mount in mounts(name).values())
    text = COMPOSE.read_text() + DOCKERFILE.read_text()
    assert not re.search(r"(?i)(?:password|token|key)\w*\s*[:=]\s*[\"']?[a-z0-9+]{6,}", text)


def test_gateway_and_workers_share_spool_audit_trail_and_bundles() -> None:
    places = {f"/var/lib/cxr-triage/{name}" for name in ("spool", "audit", "bundles")}
    for service in ("api", "worker-cpu", "worker-gpu"):
        assert places <= set(mounts(service)), service
    for service in ("dimse", "deliver"):
        assert {"/var/lib/cxr-triage/spool", "/var/lib/cxr-triage/audit"} <= set(mounts(service)), service
    assert mounts("deliver")["/var/lib/cxr-triage/audit"] == "audit:/var/lib/cxr-triage/audit", "it notes what it sends"
    assert mounts("deliver")["/var/lib/cxr-triage/spool"].endswith(":ro"), (
        "it reads films, and no fault of it may cost one"
    )
    assert set(compose()["volumes"]) >= {"redis", "spool", "audit", "bundles"}
    text = DOCKERFILE.read_text()
    for place in places:
        assert text.count(place) == 2, f"{place}: made in both base images, owned by the uid that writes there"


def test_redis_takes_its_users_from_the_secrets() -> None:
    redis = compose()["services"]["redis"]
    assert "--aclfile" in redis["command"]
    assert mounts("redis")["/etc/redis/users.acl"].startswith("./secrets/redis/users.acl:")
    assert mounts("redis")["/etc/redis/users.acl"].endswith(":ro")
    assert "NOAUTH" in str(redis["healthcheck"])


@pytest.mark.parametrize("service", ["worker-cpu", "api", "dimse", "deliver"])
def test_container_stops_later_than_its_process_wants_to(service: str) -> None:
    arriving = DimseSettings.model_fields["stop_seconds"].default
    sending = DeliverySettings.model_fields["send_seconds"].default
    seconds = {"worker-cpu": 10, "api": 30, "dimse": arriving, "deliver": sending}[service]
    assert int(compose()["services"][service]["stop_grace_period"].removesuffix("s")) > seconds


def test_dockerfile_has_no_fault_that_the_linter_knows() -> None:
    program = Path(sys.executable).parent / "hadolint"
    done = subprocess.run([program, "--no-color", DOCKERFILE], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("service", MONITORING)
def test_images_of_others_have_a_version(service: str) -> None:
    image = compose()["services"][service]["image"]
    assert re.fullmatch(r"[\w./-]+:v?\d+\.\d+\.\d+[\w.-]*", image), image


def test_prometheus_is_told_names_of_services_and_the_ports_that_they_listen_on() -> None:
    configuration = yaml.safe_load((ROOT / "deploy" / "prometheus" / "prometheus.yml").read_text())
    jobs = [found for job in configuration["scrape_configs"] for found in job["dns_sd_configs"]]
    listening = {
        **dict.fromkeys(("worker-cpu", "worker-gpu"), 9091),
        "api": 8080,
        "dimse": 9092,
        "deliver": 9093,
        "redis-exporter": 9121,
    }
    assert {name: found["port"] for found in jobs for name in found["names"]} == listening
    for name in listening:
        assert "monitoring" in compose()["services"][name]["networks"], f"{name} would not be reached"
    (key,) = [job["authorization"] for job in configuration["scrape_configs"] if "authorization" in job]
    assert Path(key["credentials_file"]).parent == Path("/run/keys")


def test_dockerfile_has_the_targets_and_copies_only_what_exists() -> None:
    text = DOCKERFILE.read_text()
    assert {"api", "worker-cpu", "worker-gpu"} <= set(re.findall(r" AS ([\w-]+)", text))
    for line in re.findall(r"^COPY (?!--from)(.+)$", text, re.MULTILINE):
        for source in line.split()[:-1]:
            assert (ROOT / source).exists(), source


def test_no_image_runs_as_root() -> None:
    stages = re.split(r"^FROM ", DOCKERFILE.read_text(), flags=re.MULTILINE)[1:]
    final = [stage for stage in stages if re.search(r" AS (api|worker-\w+)", stage)]
    assert len(final) == 3
    for stage in final:
        assert re.search(r"^USER 10001:10001$", stage, re.MULTILINE), stage
        assert "HEALTHCHECK" in stage
        assert "/health/live" in stage, "liveness, not readiness: a container is not restarted because Redis is away"


def test_redis_configuration_is_one_that_the_gateway_accepts() -> None:
    text = (ROOT / "deploy" / "redis.conf").read_text()
    assert re.search(r"^appendonly yes$", text, re.MULTILINE)
    assert re.search(r"^appendfsync always$", text, re.MULTILINE)
    assert re.search(r"^maxmemory-policy noeviction$", text, re.MULTILINE)
    assert re.search(r"^protected-mode yes$", text, re.MULTILINE)


def test_redis_has_room_to_copy_what_it_holds() -> None:
    maxmemory = re.search(r"^maxmemory (\d+)mb$", (ROOT / "deploy" / "redis.conf").read_text(), re.MULTILINE)
    assert maxmemory is not None
    assert int(compose()["services"]["redis"]["mem_limit"].removesuffix("m")) >= 2 * int(maxmemory[1])
