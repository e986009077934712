"""Policies over HTTP, with a worker beside: what is answered, what is refused, and by what films are decided."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from model.bundle import read_manifest
from services.api.scopes import Role
from tests.support.access import bearer, make_key
from tests.support.gateway import GatewayProcess, WorkerProcess, wait_until
from tests.support.ledger import entries_in
from tests.support.policies import HEALTHY, JSON, UNHEALTHY, bright_film, choose, decided, write_reported_bundle
from tests.support.redis_server import RedisServer


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("policies")


@pytest.fixture(scope="module")
def digest(directory: Path) -> str:
    return read_manifest(write_reported_bundle(directory / "bundle"))[1]


@pytest.fixture(scope="module")
def keys(directory: Path) -> dict[str, str]:
    file = directory / "keys.json"
    return {
        "admin": make_key(file, Role.ADMIN),
        "reader": make_key(file, Role.READ),
        "elsewhere": make_key(file, Role.ADMIN, sites=["elsewhere"]),
    }


@pytest.fixture(scope="module")
def gateway(
    shared_redis_server: RedisServer, directory: Path, digest: str, keys: dict[str, str]
) -> Iterator[GatewayProcess]:
    """A gateway with a worker. Each test has films and a site of its own: nobody forgets a policy."""
    # Once: a worker tells of its table and its life every few seconds, for which every test would wait.
    shared_redis_server.empty()
    places: dict[str, Any] = {"redis_url": shared_redis_server.url}
    with (
        GatewayProcess(directory, api_keys_file=directory / "keys.json", **places) as gateway,
        WorkerProcess(directory, bundle=directory / "bundle", worker_decoders=1, worker_threads=1, **places) as worker,
    ):
        gateway.wait_ready()
        yield gateway
        assert worker.is_running, worker.output[-3000:]
        assert gateway.stop() == 0, gateway.output[-3000:]
        assert "request failed" not in gateway.output


@pytest.fixture
def admin(gateway: GatewayProcess, keys: dict[str, str], digest: str) -> Iterator[Any]:
    with gateway.client(headers=bearer(keys["admin"])) as client:
        told = f"/v1/models/{digest}/operating-points"
        wait_until(lambda: bool(client.get(told).json().get("table")), what="a worker that tells its table")
        wait_until(lambda: client.get("/v1/policies/any").json()["active"] == digest, what="a live worker")
        yield client


def code(answer: httpx.Response, status: int) -> str:
    assert answer.status_code == status, answer.text
    return str(answer.json()["code"])


def until_decided_by(client: httpx.Client, site: str, version: int, brightness: float) -> dict[str, Any]:
    """Send films until one is decided by this version, and return its record; each is another film."""
    records: list[dict[str, Any]] = []

    def is_decided() -> bool:
        records.append(decided(client, bright_film(brightness, seed=100 * version + len(records)), site=site))
        assert records[-1]["reason"] is None, records[-1]
        return bool(records[-1]["policy"]["version"] == version)

    wait_until(is_decided, what=f"a film decided by version {version}")
    return records[-1]


def test_a_site_that_chose_nothing_is_decided_by_the_bundles_point(admin: httpx.Client, digest: str) -> None:
    answer = admin.get("/v1/policies/untouched")
    assert answer.headers["etag"] == '"0"'
    assert answer.json() == {
        "site": "untouched",
        "version": 0,
        "active": digest,
        "policy": None,
        "default": {"name": "f3", "threshold": 0.4, "digest": digest},
        "policies": [],
        "history": [],
        "sensitivity_floor": 0.95,
    }
    record = decided(admin, bright_film(0.5, seed=1), site="untouched")
    assert (record["outcome"], record["policy"]) == ("flagged", {"site": "untouched", "version": 0, "name": "f3"})


def test_films_are_decided_by_what_was_chosen_and_earlier_results_keep_what_decided_them(
    admin: httpx.Client, digest: str, keys: dict[str, str], directory: Path
) -> None:
    before = decided(admin, bright_film(0.35, seed=2), site="ward")
    assert before["outcome"] == "not_flagged"
    answer = choose(admin, "ward", digest, 0.3, seen=0, name="cautious", prevalence=0.2)
    assert answer.status_code == 200, answer.text
    assert answer.headers["etag"] == '"1"'
    policy = answer.json()["policy"]
    assert policy == answer.json()["history"][0] == answer.json()["policies"][0]
    assert (policy["version"], policy["threshold"], policy["name"], policy["prevalence"]) == (1, 0.3, "cautious", 0.2)
    assert policy["sensitivity"]["value"] == sum(score >= 0.3 for score in UNHEALTHY) / 20
    assert policy["specificity"]["value"] == pytest.approx(sum(score < 0.3 for score in HEALTHY) / 20)
    assert policy["by"] == keys["admin"].split("_")[1]
    record = until_decided_by(admin, "ward", 1, 0.35)
    assert record["outcome"] == "flagged"
    assert record["threshold"] == 0.3
    assert record["policy"] == {"site": "ward", "version": 1, "name": "cautious"}
    assert admin.get(f"/v1/instances/{before['id']}").json() == before
    (listed,) = (one for one in admin.get("/v1/policies").json()["policies"] if one["site"] == "ward")
    assert listed["policy"] == policy
    wait_until(lambda: _audited(directory, "ward") == [policy["version"]], what="the change in the audit trail")


def _audited(directory: Path, site: str) -> list[int]:
    entries = entries_in(directory / "audit")
    changes = [entry for entry in entries if entry["event"] == "policy_changed" and entry["site"] == site]
    return [change["policy"]["version"] for change in changes]


def test_a_change_says_which_version_it_was_decided_on(admin: httpx.Client, digest: str) -> None:
    body = json.dumps({"model_digest": digest, "threshold": 0.2})
    for headers in (JSON, JSON | {"If-Match": "*"}):
        assert code(admin.put("/v1/policies/bound", content=body, headers=headers), 428) == "precondition_required"
    assert choose(admin, "bound", digest, 0.2, seen=0).status_code == 200
    for tag in ('"0"', 'W/"1"', '"7"', "1", '"1", "2"'):
        stale = admin.put(
            "/v1/policies/bound",
            content=json.dumps({"model_digest": digest, "threshold": 0.1}),
            headers=JSON | {"If-Match": tag},
        )
        assert code(stale, 412) == "policy_changed"
        assert "version 1 now" in stale.json()["detail"]
    assert admin.get("/v1/policies/bound").json()["version"] == 1


def test_of_two_admins_who_save_at_once_one_is_told(gateway: GatewayProcess, admin: httpx.Client, digest: str) -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda step: choose(admin, "crowd", digest, step / 100, seen=0), range(8)))
    assert sorted(answer.status_code for answer in answers) == [200, *[412] * 7]
    assert len(admin.get("/v1/policies/crowd").json()["history"]) == 1


def test_a_save_that_is_repeated_because_its_answer_was_lost_is_one_version(admin: httpx.Client, digest: str) -> None:
    answers = [choose(admin, "lossy", digest, 0.2, seen=0) for _ in range(2)]
    assert [answer.headers["etag"] for answer in answers] == ['"1"', '"1"']
    assert len(answers[1].json()["history"]) == 1


def test_a_threshold_that_misses_too_much_needs_a_reason(admin: httpx.Client, digest: str) -> None:
    refused = choose(admin, "floor", digest, 0.5, seen=0)
    assert code(refused, 422) == "below_sensitivity_floor"
    assert "0.4500" in refused.json()["detail"]
    assert choose(admin, "floor", digest, 0.5, seen=0, override_reason="no").json()["code"] == "invalid_parameter"
    reason = "agreed by the department on Friday"
    allowed = choose(admin, "floor", digest, 0.5, seen=0, override_reason=reason)
    assert allowed.status_code == 200
    assert allowed.json()["history"][0]["override_reason"] == reason


def test_nobody_chooses_for_a_model_that_nobody_serves(admin: httpx.Client) -> None:
    assert code(choose(admin, "stranger", "c" * 64, 0.1, seen=0), 409) == "model_not_known"


@pytest.mark.parametrize(
    ("body", "parameter"),
    [
        ({"threshold": 1.5}, "threshold"),
        ({"threshold": "NaN"}, "threshold"),
        ({"threshold": float("nan")}, "threshold"),
        ({"threshold": False}, "threshold"),
        ({"model_digest": "abc"}, "model_digest"),
        ({"name": "Two Words"}, "name"),
        ({"prevalence": 1.0}, "prevalence"),
        ({"override_reason": "two\nlines of it"}, "override_reason"),
        ({"treshold": 0.1}, "treshold"),
    ],
)
def test_a_body_that_is_none_is_refused_by_the_name_of_the_field(
    admin: httpx.Client, digest: str, body: dict[str, Any], parameter: str
) -> None:
    answer = admin.put(
        "/v1/policies/typos",
        content=json.dumps({"model_digest": digest, "threshold": 0.1} | body),
        headers=JSON | {"If-Match": '"0"'},
    )
    assert code(answer, 422) == "invalid_parameter"
    assert [fault["parameter"] for fault in answer.json()["errors"]] == [parameter]
    assert "Two Words" not in answer.text


def test_what_is_no_json_is_refused(admin: httpx.Client) -> None:
    match = {"If-Match": '"0"'}
    assert code(admin.put("/v1/policies/typos", content="{", headers=JSON | match), 400) == "malformed_request"
    assert code(admin.put("/v1/policies/typos", content="{}", headers=match), 415) == "unsupported_media_type"
    long = json.dumps({"threshold": 0.1, "override_reason": "x" * 5000})
    assert code(admin.put("/v1/policies/typos", content=long, headers=JSON | match), 413) == "payload_too_large"
    assert code(admin.get("/v1/policies/Not A Site"), 404) == "not_found"


def test_a_key_sees_the_policies_of_its_sites_alone_and_readers_change_nothing(
    gateway: GatewayProcess, admin: httpx.Client, keys: dict[str, str], digest: str
) -> None:
    assert choose(admin, "elsewhere", digest, 0.2, seen=0).status_code == 200
    assert choose(admin, "secret", digest, 0.2, seen=0).status_code == 200
    with gateway.client(headers=bearer(keys["elsewhere"])) as client:
        assert [one["site"] for one in client.get("/v1/policies").json()["policies"]] == ["elsewhere"]
        assert code(client.get("/v1/policies/secret"), 403) == "site_not_allowed"
        assert code(choose(client, "secret", digest, 0.1, seen=1), 403) == "site_not_allowed"
        trial = client.post("/v1/policies/secret/preview", content='{"threshold": 0.1}', headers=JSON)
        assert code(trial, 403) == "site_not_allowed"
    with gateway.client(headers=bearer(keys["reader"])) as client:
        assert client.get("/v1/policies/secret").json()["version"] == 1
        assert choose(client, "secret", digest, 0.1, seen=1).status_code == 403


def test_a_preview_decides_stored_probabilities_again_and_changes_nothing(admin: httpx.Client, digest: str) -> None:
    films = {
        round(brightness, 2): decided(admin, bright_film(brightness, seed=30 + step), site="trial")
        for step, brightness in enumerate((0.3, 0.34, 0.38, 0.42, 0.46))
    }
    unread = decided(admin, bright_film(0.3, seed=40), site="trial", view="LL")
    assert unread["outcome"] == "not_assessed"
    answer = admin.post("/v1/policies/trial/preview", content='{"threshold": 0.36}', headers=JSON)
    assert answer.status_code == 200, answer.text
    trial = answer.json()
    assert (trial["films"], trial["flagged_before"], trial["flagged_after"]) == (5, 2, 3)
    film = films[0.38]
    assert trial["newly_flagged"] == {
        "total": 1,
        "films": [
            {
                "id": film["id"],
                "study_uid": film["study_uid"],
                "probability": film["probability"],
                "threshold_before": 0.4,
            }
        ],
    }
    assert trial["no_longer_flagged"] == {"total": 0, "films": []}
    assert trial["row"]["true_positives"] == sum(score >= 0.36 for score in UNHEALTHY)
    assert sum(trial["histogram"]["counts"]) == 5
    assert trial["newest"] == films[0.46]["done_at"]
    assert trial["oldest"] == films[0.3]["done_at"]
    less = admin.post("/v1/policies/trial/preview", content='{"threshold": 1, "last": 2}', headers=JSON).json()
    assert (less["films"], less["flagged_after"], less["no_longer_flagged"]["total"]) == (2, 0, 2)
    for brightness, before in films.items():
        assert admin.get(f"/v1/instances/{before['id']}").json() == before, brightness
    admin.delete(f"/v1/instances/{film['id']}").raise_for_status()
    again = admin.post("/v1/policies/trial/preview", content='{"threshold": 0.36}', headers=JSON).json()
    assert (again["films"], again["newly_flagged"]["total"]) == (4, 0), "a withdrawn film is no film to try on"


def test_the_table_has_a_row_for_each_threshold_that_changes_something(admin: httpx.Client, digest: str) -> None:
    answer = admin.get(f"/v1/models/{digest}/operating-points").json()
    table = answer["table"]
    assert (table["positives"], table["negatives"]) == (20, 20)
    assert table["evidence"] == "40 films of 40 test patients, 20 of them unhealthy"
    assert table["rows"][0] == {"threshold": 0.0, "true_positives": 20, "false_positives": 20}
    assert table["rows"][-1] == {"threshold": 1.0, "true_positives": 0, "false_positives": 0}
    for row in table["rows"]:
        assert row["true_positives"] == sum(score >= row["threshold"] for score in UNHEALTHY)
        assert row["false_positives"] == sum(score >= row["threshold"] for score in HEALTHY)
    assert len(table["rows"]) == 2 + len({*HEALTHY, *UNHEALTHY})
