"""S5: every route by every kind of caller, and whatever schemathesis makes of the contract."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from tests.bar.conftest import MeasureRow
from tests.support.access import bearer
from tests.support.access_matrix import ELSEWHERE, Callers, ask, cells, disagreements, sign_in
from tests.support.bar import Row
from tests.support.films import png_film
from tests.support.finding_bundles import write_finding_bundle
from tests.support.gateway import GatewayProcess, environment, wait_until
from tests.support.invariant import mark_safe
from tests.support.parts import Parts
from tests.support.redis_server import RedisServer
from tests.support.schemathesis_choices import CONFIGURATION

_ROOT: Final = Path(__file__).parents[2]
_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE", "TRACE"})
_SCHEMATHESIS_SECONDS: Final = 60
# A schema cannot say which bytes are a film, nor which key is one; everything else is checked.
# And a film that was deleted is withdrawn: its record stays and says so (docs/decisions/0026).
_EXCLUDED: Final = "positive_data_acceptance,use_after_free"
# One key asks thousands of times, wrong ones hundreds of times, from one address.
_UNTHROTTLED: Final[dict[str, Any]] = {
    "api_failed_sign_ins_per_minute": 1_000_000,
    "api_upload_rate_per_key": 1_000_000,
    "api_upload_burst_per_key": 1_000_000,
    "api_max_uploads_per_key": 32,
}


@pytest.mark.row
def test_nobody_gets_what_its_key_is_not_for(
    mortal_redis_server: RedisServer, tmp_path: Path, measure_row: MeasureRow
) -> None:
    callers = Callers(tmp_path / "keys.json")
    parts = Parts(directory=tmp_path, server=mortal_redis_server, bundle=write_finding_bundle(tmp_path / "bundle"))
    settings = {"api_keys_file": tmp_path / "keys.json", **_UNTHROTTLED}
    with measure_row("S5", "Authorisation matrix") as row, parts.gateway(**settings) as gateway, parts.worker():
        with gateway.client() as client:
            film = _scored_film(client, callers.admin)
            _mark_matrix(row, client, callers, film)
            _mark_sites(row, client, callers, film)
        _mark_schemathesis(row, gateway, callers.admin, tmp_path)
        with gateway.client(headers=bearer(callers.admin)) as client, mortal_redis_server.client() as redis:
            row.mark("answers_of_5xx", _server_errors(client), exactly=0)
            row.mark("keys_in_logs", gateway.output.count(callers.admin.split("_", 2)[2]), exactly=0)
            mark_safe(row, redis, [film["id"]], http=client, is_all_done=False)


def _scored_film(client: httpx.Client, key: str) -> dict[str, Any]:
    headers = {"Content-Type": "image/png", **bearer(key)}
    answer = client.post("/v1/instances", params={"wait": 30}, content=png_film(seed=7), headers=headers)
    assert answer.status_code == 200, answer.text
    film: dict[str, Any] = answer.json()
    return film


def _mark_matrix(row: Row, client: httpx.Client, callers: Callers, film: dict[str, Any]) -> None:
    cookie = sign_in(client, callers.fading)
    columns = callers.all(str(client.base_url).rstrip("/"), cookie)
    callers.fade()
    # From then on the gateway knows all of the columns' keys, too: it read the file of the last change.
    wait_until(lambda: _who(client, cookie) == 401, seconds=10, what="the end of a revoked key's session")
    document = client.get("/openapi.json").json()
    names = {"instance_id": film["id"], "study_uid": film["study_uid"], "digest": film["model"]["digest"]}
    names |= {"site": film["site"]}
    faults: list[str] = []
    foreign: list[str] = []
    undeclared: list[str] = []
    statuses = Counter[int]()
    for cell in cells(document, columns):
        status = ask(client, cell, names).status_code
        statuses[status] += 1
        fault = cell.fault(status)
        if fault is not None:
            (foreign if cell.expected == 404 else faults).append(fault)
        if status not in cell.declared:
            undeclared.append(f"{cell.method} {cell.path}: {status}")
    print(*faults, *foreign, *undeclared, *disagreements(document), sep="\n")
    row.mark("cells", statuses.total(), at_least=16 * 14)
    row.mark("cells_not_as_declared", len(faults), exactly=0)
    row.mark("foreign_objects_not_404", len(foreign), exactly=0)
    row.mark("undeclared_statuses", len(undeclared), exactly=0)
    row.mark("routes_not_as_agreed", len(disagreements(document)), exactly=0)
    row.mark("undeclared_methods_served", _served_methods(client, document, callers.admin, names), exactly=0)
    row.note("statuses", str(dict(sorted(statuses.items()))))


def _who(client: httpx.Client, cookie: str) -> int:
    return client.get("/v1/session", headers={"Cookie": f"cxr_session={cookie}"}).status_code


def _served_methods(client: httpx.Client, document: dict[str, Any], key: str, names: dict[str, str]) -> int:
    served = 0
    for path, item in document["paths"].items():
        for method in sorted(_METHODS - {method.upper() for method in item}):
            for headers in ({}, bearer(key)):
                served += client.request(method, path.format(**names), headers=headers).status_code != 405
    return served


def _mark_sites(row: Row, client: httpx.Client, callers: Callers, film: dict[str, Any]) -> None:
    """What a key of another site learns of this film: nothing, by whatever question."""
    headers = bearer(callers.elsewhere)
    theirs = client.post(
        "/v1/instances", params={"wait": 30}, content=png_film(seed=8), headers={"Content-Type": "image/png", **headers}
    ).json()
    row.mark("sites_by_default_wrong", int(theirs["site"] != ELSEWHERE), exactly=0)
    listed = client.get("/v1/studies", headers=headers).json()["studies"]
    row.mark("foreign_studies_listed", sum(study["site"] != ELSEWHERE for study in listed), exactly=0)
    row.mark("own_studies_listed", sum(study["study_uid"] == theirs["study_uid"] for study in listed), exactly=1)
    named = [
        client.get("/v1/studies", params={"site": "default"}, headers=headers),
        client.get(f"/v1/studies/{film['study_uid']}", params={"site": "default"}, headers=headers),
        client.post("/v1/instances", params={"site": "default"}, content=png_film(seed=7), headers=headers),
    ]
    codes = [(answer.status_code, answer.json().get("code")) for answer in named]
    row.mark("named_foreign_sites_not_403", sum(code != (403, "site_not_allowed") for code in codes), exactly=0)
    tellable = 0
    for suffix in ("?wait=5", "/preview.png", "/heatmap.png", "/decisions"):
        foreign = client.get(f"/v1/instances/{film['id']}{suffix}", headers=headers)
        unknown = client.get(f"/v1/instances/{'0' * 32}{suffix}", headers=headers)
        tellable += _shape(foreign) != _shape(unknown)
    row.mark("foreign_told_from_unknown", tellable, exactly=0)


def _shape(answer: httpx.Response) -> tuple[int, dict[str, str], dict[str, str]]:
    """What two answers may differ in is left out: their time, and the name of the occurrence."""
    headers = {name: value for name, value in answer.headers.items() if name != "date"}
    is_problem = headers.get("content-type") == "application/problem+json"
    body = answer.json() if is_problem else {"length": str(len(answer.content))}
    return answer.status_code, headers, {**body, "instance": ""}


def _mark_schemathesis(row: Row, gateway: GatewayProcess, key: str, directory: Path) -> None:
    hooks = {"SCHEMATHESIS_HOOKS": "tests.support.schemathesis_hooks", "PYTHONPATH": str(_ROOT)}
    command = [
        *(str(Path(sys.executable).with_name("schemathesis")), "run", f"{gateway.url}/openapi.json"),
        *("--checks", "all", "--exclude-checks", _EXCLUDED, "--max-time", str(_SCHEMATHESIS_SECONDS)),
        *("--header", f"Authorization: Bearer {key}", "--continue-on-failure", "--no-color"),
        *("--generation-deterministic", "--max-examples", "15"),
    ]
    (directory / "schemathesis.toml").write_text(CONFIGURATION)
    answer = subprocess.run(
        command, cwd=directory, env=environment() | hooks, capture_output=True, text=True, timeout=280
    )
    if answer.returncode:
        print(answer.stdout[-12_000:], answer.stderr[-2_000:], sep="\n")
    selected = re.search(r"Selected: (\d+)/(\d+)\b", answer.stdout)
    row.mark("schemathesis_exit_status", answer.returncode, exactly=0)
    row.mark("operations_left_out", int(selected[2]) - int(selected[1]) if selected else 1, exactly=0)
    row.note("schemathesis_seconds_at_most", _SCHEMATHESIS_SECONDS)


def _server_errors(client: httpx.Client) -> float:
    """Count answers of 5xx; a gateway that starts says 503 to readiness for a moment, and that is no error."""
    samples = re.findall(
        r'^cxr_http_request_duration_seconds_count\{.*route="([^"]+)",status="(5\d\d)"\} (\S+)',
        client.get("/metrics").text,
        re.MULTILINE,
    )
    print(samples)
    return sum(float(count) for route, _, count in samples if route != "/health/ready")
