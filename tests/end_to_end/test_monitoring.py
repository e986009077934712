"""Rules and dashboard on a real Prometheus that scrapes a real installation: nothing is asked for that nobody tells."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from model.bundle import read_bundle
from services.worker.bundles import default_bundle_directory
from tests.support.access import bearer
from tests.support.alert_rules import FOLDER, alert_rules, expressions, metrics_in, recorded
from tests.support.dimse import send
from tests.support.films import dicom_film, uid_of
from tests.support.gateway import wait_until
from tests.support.monitored import SITE, Monitored, monitored
from tests.support.senders import numbered_films

DASHBOARDS = FOLDER.parent / "grafana" / "dashboards"
# What a test installation may raise: its disk is as full as the machine's.
OF_THE_MACHINE = {"SpoolFilling", "SpoolFillsSoon", "AuditFilling"}
SCORED = 3


@pytest.fixture(scope="module")
def installation(redis_binary: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Monitored]:
    directory = tmp_path_factory.mktemp("monitored")
    with monitored(directory, redis_binary=redis_binary, bundle=default_bundle_directory()) as running:
        use(running)
        yield running


def use(running: Monitored) -> None:
    """Send films by both doors, one of them no film; have one assessed; wait until Prometheus has heard of it all."""
    with running.gateway.client(headers=bearer(running.key)) as client:
        for film in numbered_films(SCORED):
            sent = client.post(
                "/v1/instances", content=film, headers={"Content-Type": "image/png"}, params={"wait": 30}
            )
            assert sent.is_success, sent.text
        record = client.get(sent.json()["links"]["self"]).json()
        assert client.post("/v1/instances", content=b"no film", headers={"Content-Type": "image/png"}).is_client_error
        send(running.dimse.port, dicom_film(seed=1, SOPInstanceUID=uid_of("monitored", 1)))
        said = {"verdict": "agree", "truth": "no_finding", "source": "reader", "blind": False}
        client.post(f"/v1/studies/{record['study_uid']}/assessments", json=said)
    ended = "sum(cxr_end_to_end_duration_seconds_count)"
    running.wait_for(lambda: value(running, ended) >= SCORED + 1, "every film's end in Prometheus")
    over = time.time()
    running.wait_for(lambda: value(running, "min(timestamp(up))") > over, "a scrape of every process since")
    # A rate needs two scrapes, a recorded figure an evaluation after them.
    running.wait_for(lambda: bool(running.query("cxr:flag_share:upper_limit")), "what rules record")


def value(running: Monitored, expression: str) -> float:
    found = running.query(expression)
    return float(found[0]["value"][1]) if found else float("nan")


def is_calm(running: Monitored) -> bool:
    """Return whether no alert's expression holds; for a moment one may: at a start, or where a scrape was missed."""
    return not running.raised() - OF_THE_MACHINE


def test_every_metric_that_a_rule_or_a_panel_names_is_told_by_a_scrape(installation: Monitored) -> None:
    told = set(installation.ask("metadata")) | {"up"}
    for name, expression in (expressions() | dict(panels())).items():
        asked = {
            re.sub(r"_(bucket|count|sum)$", "", metric) if metric not in told else metric
            for metric in metrics_in(expression)
        }
        assert asked <= told, f"{name}: {asked - told}"


def test_every_label_that_a_rule_selects_by_is_on_a_scraped_series(installation: Monitored) -> None:
    for name, expression in expressions().items():
        for metric, selector in re.findall(r"((?:cxr|redis|process)_\w+|up)\{([^}]*)\}", expression):
            labels = re.findall(r"(\w+)(?:=~|!~|!=|=)", selector)
            is_only_told_in_trouble = metric == "cxr_gateway_not_ready"
            series = installation.ask("series", **{"match[]": metric})
            assert is_only_told_in_trouble or any(set(labels) <= set(one) for one in series), (
                f"{name}: {metric}{labels}"
            )


def test_what_rules_record_exists_from_the_first_films_on(installation: Monitored) -> None:
    answer_each(installation, {name: name for name in recorded()})


def test_nothing_is_raised_by_an_installation_that_is_well(installation: Monitored) -> None:
    rules = [rule for group in installation.ask("rules")["groups"] for rule in group["rules"]]
    assert {rule["name"] for rule in rules} == expressions().keys()
    wait_until(
        lambda: all(rule["health"] == "ok" for group in installation.ask("rules")["groups"] for rule in group["rules"]),
        what="rules that Prometheus can evaluate",
    )
    installation.wait_for(lambda: is_calm(installation), "a calm")


def test_scores_and_policies_are_told_with_what_they_are_compared_with(installation: Monitored) -> None:
    digest = read_bundle(default_bundle_directory()).digest[:12]
    shares = f'last_over_time(cxr_policy_flag_share{{site="{SITE}",model="{digest}"}}[1m])'
    films = f'cxr_psi_films{{digest="{digest}"}} == {SCORED + 1}'
    reference_films = f'cxr_psi_reference_films{{digest="{digest}"}} == 160'
    answer_each(installation, {"films": films, "reference films": reference_films, "shares": shares})
    found = {sample["metric"]["bound"]: float(sample["value"][1]) for sample in installation.query(shares)}
    assert 0 < found["low"] < found["high"] < 1


def test_every_query_of_the_dashboard_returns_data(installation: Monitored) -> None:
    asked = dict(panels())
    assert len(asked) > 20
    answer_each(installation, asked)


def answer_each(installation: Monitored, queries: dict[str, str]) -> None:
    """Wait until each query has returned something."""
    empty = dict(queries)

    def all_have_answered() -> bool:
        # A scrape that a busy machine misses leaves a gap, and no other.
        for name in [name for name, query in empty.items() if installation.query(query)]:
            del empty[name]
        return not empty

    installation.wait_for(all_have_answered, f"data of {empty}")


def panels() -> Iterator[tuple[str, str]]:
    """Yield every query of every panel with the panel's title."""
    for path in sorted(DASHBOARDS.glob("*.json")):
        for panel in json.loads(path.read_text(encoding="utf-8"))["panels"]:
            for target in panel.get("targets", []):
                yield f"{panel['title']} {target['refId']}", target["expr"].replace("$__rate_interval", "1m")


def test_every_alert_is_guarded_against_the_absence_of_what_it_asks_for(installation: Monitored) -> None:
    """A metric is missing where its process is not scraped: for each job an alert asks whether it is."""
    guards = {"cxr-api": "GatewayDown", "cxr-worker": "WorkersUnscraped", "cxr-dimse": "ListenerNotReady"}
    guards |= {"cxr-delivery": "DeliveryNotReady", "redis": "RedisUnwatched"}
    assert set(guards.values()) <= alert_rules().keys()
    jobs = {job["labels"]["job"] for job in installation.ask("targets")["activeTargets"]}
    assert jobs == guards.keys()
    for expression in expressions().values():
        for metric in metrics_in(expression) - {"up"}:
            told_by = {one["job"] for one in installation.ask("series", **{"match[]": f'{{__name__="{metric}"}}'})}
            assert told_by <= guards.keys()


def test_real_faults_raise_their_alerts(installation: Monitored) -> None:
    """The last of this file: nothing is left of the installation."""
    installation.wait_for(lambda: is_calm(installation), "a calm")
    with installation.redis.client() as redis:
        redis.config_set("appendonly", "no")
        installation.wait_raised("RedisAofFails", "RedisUnsafe", "NotReady")
        redis.config_set("appendonly", "yes")
    installation.wait_for(lambda: is_calm(installation), "an end of all alerts")
    installation.worker.kill()
    installation.wait_raised("NoWorker", "TargetDown")
    installation.dimse.kill()
    installation.delivery.kill()
    installation.wait_raised("ListenerNotReady", "DeliveryNotReady")
    installation.redis.stop()
    installation.wait_raised("RedisDown", "RedisUnwatched")
    installation.gateway.kill()
    installation.wait_raised("GatewayDown")
