from __future__ import annotations

import urllib.request
from collections.abc import Iterator
from urllib.error import HTTPError

import pytest
from prometheus_client.parser import text_string_to_metric_families

from model.decision import Outcome, Policy, Score, decide, not_assessed
from model.errors import Reason
from services.jobs.errors import PortTaken
from services.jobs.probes import ProbeServer, Readiness
from services.jobs.records import ModelReference, Priority
from services.worker import metrics
from services.worker.metrics import ShownBundle

SERVED = ModelReference(name="tiny", version="0.0.1", digest="ab" * 32)
# PROTOCOLS.md §5; what the worker can know of them.
PROMISED = {
    "cxr_gate",
    "cxr_decisions",
    "cxr_score",
    "cxr_stage_duration_seconds",
    "cxr_end_to_end_duration_seconds",
    "cxr_batch_size",
    "cxr_worker_heartbeat_timestamp_seconds",
    "cxr_model_info",
    "cxr_worker_info",
}


@pytest.fixture
def readiness() -> Readiness:
    return Readiness(metrics.READY.set)


@pytest.fixture
def server(readiness: Readiness) -> Iterator[ProbeServer]:
    probes = ProbeServer(readiness, host="127.0.0.1", port=0)
    yield probes
    probes.close()


def get(server: ProbeServer, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{server.port}{path}", timeout=10) as answer:
            return answer.status, answer.read().decode()
    except HTTPError as error:
        with error:
            return error.code, error.read().decode()


def families(server: ProbeServer) -> dict[str, dict[tuple[str, ...], float]]:
    _, text = get(server, "/metrics")
    return {
        family.name: {
            (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
            for sample in family.samples
        }
        for family in text_string_to_metric_families(text)
    }


def test_the_exposition_parses_and_has_the_promised_names(server: ProbeServer) -> None:
    metrics.show_bundles(serving=ShownBundle(model=SERVED, provider="openvino", precision="bf16"))
    metrics.describe(provider="cpu", threads=2, decoders=2, sandbox="seccomp")
    exposed = families(server)
    assert set(exposed) >= PROMISED
    assert exposed["cxr_model_info"][("cxr_model_info", "ab" * 6, "tiny", "bf16", "openvino", "serving", "0.0.1")] == 1


def test_a_scored_film_and_an_unread_one_are_counted_apart(server: ProbeServer) -> None:
    metrics.name_sites(["north"])
    policy = Policy(site="north", version=0, name="f3", threshold=0.5, model_digest=SERVED.digest)
    scored = decide(Score(probability=0.7), policy)
    before = families(server)  # counters belong to the process, and other tests count too
    for decision in (scored, not_assessed(Reason.BLANK)):
        metrics.count_decision(decision, site="north", priority=Priority.STAT, model=SERVED, total_ms=100)
    after = families(server)

    def counted(family: str, *sample: str) -> float:
        return after[family][sample] - before[family].get(sample, 0)

    assert counted("cxr_decisions", "cxr_decisions_total", "ab" * 6, Outcome.FLAGGED, "f3/0", "north") == 1
    assert counted("cxr_decisions", "cxr_decisions_total", "ab" * 6, Outcome.NOT_ASSESSED, "", "north") == 1
    assert counted("cxr_gate", "cxr_gate_total", "blank") == 1
    assert counted("cxr_score", "cxr_score_bucket", "0.7") == 1
    assert counted("cxr_score", "cxr_score_bucket", "0.65") == 0


def test_sites_that_the_settings_do_not_name_are_one(server: ProbeServer) -> None:
    metrics.name_sites(["north", "south"])
    model = ModelReference(name="of-this-test", version="1", digest="57" * 32)  # counters belong to the process
    for site in ("north", "south", *(f"site-{number}" for number in range(60))):
        metrics.count_decision(not_assessed(Reason.AGE), site=site, priority=Priority.ROUTINE, model=model, total_ms=1)
    counted = {
        labels[-1]: films
        for labels, films in families(server)["cxr_decisions"].items()
        if labels[:2] == ("cxr_decisions_total", metrics.short(model.digest))
    }
    assert counted == {"north": 1, "south": 1, "other": 60}


def test_bundles_are_shown_by_role_and_only_while_they_are_loaded(server: ProbeServer) -> None:
    serving = ShownBundle(model=SERVED, provider="cuda", precision="fp32")
    following = ModelReference(name="next", version="0.0.2", digest="cd" * 32)
    candidate = ShownBundle(model=following, provider="cpu", precision="int8")

    def shown() -> set[tuple[str, ...]]:
        return {labels[1:] for labels in families(server)["cxr_model_info"]}

    metrics.show_bundles(serving=serving, candidate=candidate)
    served = ("ab" * 6, "tiny", "fp32", "cuda", "serving", "0.0.1")
    assert shown() == {served, ("cd" * 6, "next", "int8", "cpu", "candidate", "0.0.2")}
    metrics.show_bundles(serving=candidate)
    assert shown() == {("cd" * 6, "next", "int8", "cpu", "serving", "0.0.2")}


def test_a_worker_is_ready_only_while_it_takes_jobs_and_redis_answers(
    server: ProbeServer, readiness: Readiness
) -> None:
    assert get(server, "/health/live")[0] == 200
    assert get(server, "/health/ready")[0] == 503
    readiness.set_started(True)
    assert get(server, "/health/ready")[0] == 503
    readiness.set_queue_reachable(True)
    assert get(server, "/health/ready")[0] == 200
    readiness.set_queue_reachable(False)
    assert get(server, "/health/ready")[0] == 503
    assert get(server, "/nowhere")[0] == 404


def test_a_taken_port_is_one_clear_error(server: ProbeServer, readiness: Readiness) -> None:
    with pytest.raises(PortTaken, match=str(server.port)):
        ProbeServer(readiness, host="127.0.0.1", port=server.port)
