"""What the deployment files say: the compose file, and the Kubernetes manifests pod by pod."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "deploy" / "kubernetes"
FILES = sorted(path for path in FOLDER.glob("*.yaml") if path.name != "kustomization.yaml")
# Each has the name that its twin has in the compose file.
TWINS = ["redis", "api", "dimse", "deliver", "worker-cpu", "worker-gpu", "redis-exporter"]
OURS = [name for name in TWINS if not name.startswith("redis")]
UNITS = {"k": 1000, "m": 1024**2, "g": 1024**3, "Ki": 1024, "Mi": 1024**2, "Gi": 1024**3}


@cache
def compose() -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((ROOT / "deploy" / "docker-compose.yml").read_text())
    return document


@cache
def documents() -> list[dict[str, Any]]:
    return [document for path in FILES for document in yaml.safe_load_all(path.read_text())]


def of_kind(*kinds: str) -> dict[str, dict[str, Any]]:
    return {document["metadata"]["name"]: document for document in documents() if document["kind"] in kinds}


def pod(name: str) -> dict[str, Any]:
    found: dict[str, Any] = of_kind("Deployment", "StatefulSet")[name]["spec"]["template"]
    return found


def container(name: str) -> dict[str, Any]:
    (only,) = pod(name)["spec"]["containers"]
    found: dict[str, Any] = only
    return found


def variables(name: str) -> dict[str, str]:
    """Return a pod's own variables, with those of the places that it takes from the ConfigMap."""
    own = {entry["name"]: entry["value"] for entry in container(name).get("env", [])}
    places = of_kind("ConfigMap")["cxr-places"]["data"]
    sources = [source.get("configMapRef", {}).get("name") for source in container(name).get("envFrom", [])]
    return own | (places if "cxr-places" in sources else {})


def mounts(name: str) -> dict[str, dict[str, Any]]:
    return {mount["mountPath"]: mount for mount in container(name)["volumeMounts"]}


def size(text: str) -> int:
    number, unit = re.fullmatch(r"(\d+)([A-Za-z]+)", text).groups()  # type: ignore[union-attr]  # else the test fails
    return int(number) * UNITS[unit]
