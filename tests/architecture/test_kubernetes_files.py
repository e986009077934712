"""The Kubernetes manifests are valid, do what the compose file does, and give no pod more than it needs."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from services.cli import app as cli
from services.jobs.settings import DeliverySettings, DimseSettings, variable_names
from tests.support.deployment import (
    FILES,
    FOLDER,
    OURS,
    ROOT,
    TWINS,
    compose,
    container,
    mounts,
    of_kind,
    pod,
    size,
    variables,
)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_manifest_is_what_the_api_of_kubernetes_takes(path: Path) -> None:
    program = Path(sys.executable).parent / "kubernetes-validate"
    done = subprocess.run([program, "--strict", path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_file_is_in_the_set_or_named_there_as_one_to_be_added() -> None:
    text = (FOLDER / "kustomization.yaml").read_text()
    named = set(yaml.safe_load(text)["resources"]) | set(re.findall(r"^  # - (\S+\.yaml)$", text, re.MULTILINE))
    assert named == {path.name for path in FILES}


def test_every_image_of_ours_is_a_placeholder_that_the_set_replaces() -> None:
    replaced = {entry["name"] for entry in yaml.safe_load((FOLDER / "kustomization.yaml").read_text())["images"]}
    used = {container(name)["image"] for name in OURS}
    assert used == replaced
    targets = set(re.findall(r" AS ((?:api|worker)\S*)", (ROOT / "deploy" / "Dockerfile").read_text()))
    assert {image.removeprefix("registry.example/cxr-triage-") for image in used} == targets
    for name in ("redis", "redis-exporter"):
        assert container(name)["image"] == compose()["services"][name]["image"]


@pytest.mark.parametrize("name", TWINS)
def test_pod_runs_the_command_of_its_twin_in_the_compose_file(name: str) -> None:
    facts = compose()["services"][name]
    command = container(name).get("command", container(name).get("args"))
    if name.startswith("worker"):
        assert command == ["cxr-triage", "worker"], "the image's own command"
    elif name == "api":
        assert command == ["cxr-triage", "api"], "the image's own command"
    elif name == "redis":
        assert command == [*facts["command"][:-1], "/etc/redis/users/users.acl"], "a Secret is mounted as a directory"
    else:
        assert command == facts["command"]
    if command[0] == "cxr-triage":
        assert CliRunner().invoke(cli, [command[1], "--help"]).exit_code == 0


@pytest.mark.parametrize("name", [*OURS, "redis-exporter"])
def test_pod_has_the_variables_of_its_twin(name: str) -> None:
    twin = {key: str(value) for key, value in compose()["services"][name]["environment"].items()}
    own = variables(name)
    places = [key for key in twin if key.endswith(("_DIRECTORY", "_BUNDLE_STORE"))]
    for key in places:
        assert own[key] == f"{twin[key]}/data", "below the mount, whose root is not ours"
    assert own == {key: f"{value}/data" if key in places else value for key, value in twin.items()}
    assert {key for key in own if key.startswith("CXR_")} <= set(variable_names())


@pytest.mark.parametrize("name", [*OURS, "redis-exporter"])
def test_probes_and_scrapes_ask_the_port_that_the_process_listens_on(name: str) -> None:
    ports = {port["name"]: port["containerPort"] for port in container(name)["ports"]}
    told = {value for key, value in variables(name).items() if key.endswith("_PORT")}
    if name != "redis-exporter":
        assert {str(port) for port in ports.values()} == told
    scraped = pod(name)["metadata"]["annotations"]["prometheus.io/port"]
    assert scraped == str(ports.get("metrics", ports.get("http")))
    for probe in ("livenessProbe", "readinessProbe"):
        assert container(name)[probe]["httpGet"]["port"] in ports


@pytest.mark.parametrize("name", OURS)
def test_liveness_is_for_restarts_and_readiness_for_routing(name: str) -> None:
    asked = {
        probe: container(name)[f"{probe}Probe"]["httpGet"]["path"] for probe in ("startup", "liveness", "readiness")
    }
    assert asked == {"startup": "/health/live", "liveness": "/health/live", "readiness": "/health/ready"}


@pytest.mark.parametrize("name", TWINS)
def test_pod_passes_the_restricted_profile_of_its_namespace(name: str) -> None:
    assert (
        of_kind("Namespace")["cxr-triage"]["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    )
    security = pod(name)["spec"]["securityContext"]
    assert security["runAsNonRoot"] is True
    assert str(security["runAsUser"]) == {"redis": "999"}.get(name, compose()["services"][name]["user"].split(":")[0])
    assert security["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container(name)["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert pod(name)["spec"]["automountServiceAccountToken"] is False, "nobody here speaks to the API of the cluster"
    assert pod(name)["spec"]["enableServiceLinks"] is False


@pytest.mark.parametrize("name", TWINS)
def test_pod_may_use_as_much_memory_as_its_twin_and_stops_as_late(name: str) -> None:
    twin = compose()["services"][name]
    limit = size(container(name)["resources"]["limits"]["memory"])
    # A GPU's worker has a whole node: more cores, and with them more decoding children.
    assert limit == size(twin["mem_limit"]) if name != "worker-gpu" else limit >= size(twin["mem_limit"])
    assert pod(name)["spec"]["terminationGracePeriodSeconds"] == int(twin["stop_grace_period"].removesuffix("s"))


def test_pods_stop_later_than_their_processes_want_to() -> None:
    wanted = {
        "worker-cpu": 10,
        "worker-gpu": 10,
        "api": 30,
        "dimse": DimseSettings.model_fields["stop_seconds"].default,
        "deliver": DeliverySettings.model_fields["send_seconds"].default,
    }
    late = {name: pod(name)["spec"]["terminationGracePeriodSeconds"] for name in wanted}
    assert all(late[name] > seconds for name, seconds in wanted.items()), late


@pytest.mark.parametrize("name", OURS)
def test_volumes_are_those_of_the_twin_and_shared_by_every_node(name: str) -> None:
    twin = {mount.split(":")[1]: mount for mount in compose()["services"][name]["volumes"]}
    own = mounts(name)
    assert set(own) - {"/tmp"} == set(twin)
    read_only = {place for place, mount in own.items() if mount.get("readOnly")}
    assert read_only == {place for place, mount in twin.items() if mount.endswith(":ro")}
    for claim in of_kind("PersistentVolumeClaim").values():
        assert claim["spec"]["accessModes"] == ["ReadWriteMany"]


@pytest.mark.parametrize("name", TWINS)
def test_everything_that_is_mounted_is_declared(name: str) -> None:
    declared = {volume["name"]: volume for volume in pod(name)["spec"].get("volumes", [])}
    templates = of_kind("StatefulSet").get(name, {}).get("spec", {}).get("volumeClaimTemplates", [])
    used = {mount["name"] for mount in container(name).get("volumeMounts", [])}
    assert used == set(declared) | {template["metadata"]["name"] for template in templates}
    claims = {
        volume["persistentVolumeClaim"]["claimName"]
        for volume in declared.values()
        if "persistentVolumeClaim" in volume
    }
    assert claims <= set(of_kind("PersistentVolumeClaim"))
    maps = {volume["configMap"]["name"] for volume in declared.values() if "configMap" in volume}
    assert maps <= set(of_kind("ConfigMap"))


def test_every_secret_is_made_on_the_page_and_none_is_in_the_files() -> None:
    wanted = {
        source["secretRef"]["name"]
        for name in TWINS
        for source in container(name).get("envFrom", [])
        if "secretRef" in source
    }
    volumes = [volume for name in TWINS for volume in pod(name)["spec"].get("volumes", [])]
    wanted |= {volume["secret"]["secretName"] for volume in volumes if "secret" in volume}
    page = (ROOT / "docs" / "scaling.md").read_text()
    assert wanted
    assert wanted <= set(re.findall(r"create secret (?:generic|tls) (\S+)", page))
    assert not of_kind("Secret")


def test_redis_is_configured_word_for_word_as_in_the_compose_file() -> None:
    assert of_kind("ConfigMap")["redis-conf"]["data"]["redis.conf"] == (ROOT / "deploy" / "redis.conf").read_text()
    assert of_kind("StatefulSet")["redis"]["spec"]["replicas"] == 1, "two primaries are worse than none"


def test_budgets_services_and_autoscaling_name_pods_that_exist() -> None:
    labels = {name: pod(name)["metadata"]["labels"] for name in TWINS}
    for document in [*of_kind("PodDisruptionBudget").values(), *of_kind("Service").values()]:
        selector = document["spec"]["selector"]
        chosen = selector.get("matchLabels", selector)
        assert [name for name in TWINS if chosen.items() <= labels[name].items()] == [document["metadata"]["name"]]
    scaler = of_kind("HorizontalPodAutoscaler")["worker-cpu"]["spec"]
    assert scaler["scaleTargetRef"]["name"] in of_kind("Deployment")
    assert "replicas" not in of_kind("Deployment")["worker-cpu"]["spec"], "a repeated apply would undo the scaling"


def test_redis_is_reached_by_its_clients_only_and_what_no_rule_names_by_nobody() -> None:
    rules = of_kind("NetworkPolicy")
    assert rules["nobody"]["spec"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    (entry,) = rules["redis-hears-its-clients"]["spec"]["ingress"]
    assert entry == {
        "from": [{"podSelector": {"matchLabels": {"cxr-triage/queue-client": "true"}}}],
        "ports": [{"port": 6379}],
    }
    clients = {name for name in TWINS if pod(name)["metadata"]["labels"].get("cxr-triage/queue-client") == "true"}
    assert clients == set(TWINS) - {"redis"}


def test_every_port_that_a_rule_opens_is_one_that_somebody_listens_on() -> None:
    listening = {port["containerPort"] for name in TWINS for port in container(name)["ports"]}
    for rule in of_kind("NetworkPolicy").values():
        for entry in rule["spec"].get("ingress", []):
            assert {port["port"] for port in entry["ports"]} <= listening, rule["metadata"]["name"]


def test_autoscaling_asks_for_the_metrics_that_the_adapter_makes_of_the_age_of_films() -> None:
    rules = yaml.safe_load((FOLDER / "adapter" / "rules.yaml").read_text())["externalRules"]
    asked = {
        metric["external"]["metric"]["name"]
        for metric in of_kind("HorizontalPodAutoscaler")["worker-cpu"]["spec"]["metrics"]
    }
    assert asked == {rule["name"]["as"] for rule in rules}
    for rule in rules:
        assert "cxr_queue_oldest_age_seconds" in rule["metricsQuery"]
        assert rule["seriesQuery"] in rule["metricsQuery"]
    page = (ROOT / "docs" / "scaling.md").read_text()
    assert all(rule["metricsQuery"] in page for rule in rules), "KEDA asks the same"
