"""docs/operating.md speaks of what exists, and leaves nothing out that an operator meets."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from functools import cache
from http import HTTPStatus
from pathlib import Path

from prometheus_client import generate_latest
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from model.errors import Reason
from services.api.answers import TABLE
from services.api.metrics import GatewayMetrics, KeysState, Surroundings
from services.delivery import metrics as delivery_metrics
from services.dimse import metrics as dimse_metrics
from services.jobs.limits import QueueLimits
from services.jobs.quota import Usage
from services.jobs.records import Priority
from services.jobs.settings import variable_names
from services.jobs.status import QueueStatistics
from services.worker import metrics as worker_metrics
from tests.support.command_line import commands

BOOK = Path(__file__).resolve().parents[2] / "docs" / "operating.md"
_SUFFIXES = ("_bucket", "_count", "_sum", "_created")


def test_every_metric_is_in_the_book() -> None:
    missing = declared_metrics() - named_metrics()
    assert not missing


def test_the_book_names_no_metric_that_nobody_declares() -> None:
    assert not named_metrics() - declared_metrics()


def test_labels_in_alerts_are_those_of_their_metrics() -> None:
    labels = {name: set(family) for name, family in labels_of_metrics().items()}
    for name, selector in re.findall(r"(cxr_\w+)\{([^}]*)\}", alerts()):
        for label in re.findall(r"(\w+)=", selector):
            assert label in labels[without_suffix(name)], f"{name} has no label {label}"


def test_every_reason_is_in_the_book() -> None:
    assert not [reason for reason in Reason if f"`{reason}`" not in BOOK.read_text(encoding="utf-8")]


def test_every_problem_that_asks_callers_to_come_again_is_in_the_book() -> None:
    codes = {
        error.code  # type: ignore[attr-defined]  # every class of the table has one
        for error, answer in TABLE.items()
        if answer.retry_after_seconds is not None or answer.status is HTTPStatus.TOO_MANY_REQUESTS
    }
    assert codes
    assert not [code for code in codes if f"`{code}`" not in BOOK.read_text(encoding="utf-8")]


def test_codes_in_alerts_are_reasons_or_problems() -> None:
    known = {str(reason) for reason in Reason} | set(re.findall(r"`(\w+)`", section("Problem codes")))
    for choices in re.findall(r'(?:code|reason)=~?"([^"]*)"', alerts()):
        assert set(choices.replace("\\", "").split("|")) <= known


def test_settings_and_commands_of_the_book_exist() -> None:
    text = BOOK.read_text(encoding="utf-8")
    for variable in re.findall(r"\bCXR_[A-Z_]*[A-Z]\b(?!_)", text):
        assert any(name.startswith(variable) for name in variable_names()), variable
    named = set(re.findall(r"cxr-triage ((?:audit|bundle|dead|delivery|key) [a-z]+)", text))
    assert named
    assert named <= commands()


def test_alerts_name_runbooks_that_exist() -> None:
    headings = re.findall(r"^#+ (.+)$", BOOK.read_text(encoding="utf-8"), re.MULTILINE)
    anchors = {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}
    assert set(re.findall(r"\]\(#([^)]+)\)", BOOK.read_text(encoding="utf-8"))) <= anchors


def test_every_reason_and_code_that_an_alert_asks_for_is_counted_from_the_first_scrape_on() -> None:
    metrics = GatewayMetrics()
    shown = metrics.exposition(None).decode() + generate_latest().decode()
    asked = re.findall(r'(cxr_(?:gate|rejections|bundles_refused)_total)\{(?:code|reason)=~?"([^"]*)"', alerts())
    assert asked
    for name, values in asked:
        for value in values.replace("\\", "").split("|"):
            assert re.search(rf'^{name}{{\w+="{value}"}} ', shown, re.MULTILINE), f"{name} has no {value} yet"


def section(heading: str) -> str:
    return re.split(r"^## ", BOOK.read_text(encoding="utf-8").split(f"## {heading}\n")[1], flags=re.MULTILINE)[0]


def alerts() -> str:
    return section("Alerts")


def named_metrics() -> set[str]:
    return {without_suffix(name) for name in re.findall(r"\bcxr_\w+", BOOK.read_text(encoding="utf-8"))}


def without_suffix(name: str) -> str:
    for suffix in _SUFFIXES:
        if name not in labels_of_metrics():
            name = name.removesuffix(suffix)
    return name


def declared_metrics() -> set[str]:
    return set(labels_of_metrics())


@cache
def labels_of_metrics() -> dict[str, tuple[str, ...]]:
    """Return every metric of every process with its labels, by the name that PromQL knows it by."""
    found: dict[str, tuple[str, ...]] = {}
    metrics = GatewayMetrics()
    metrics.publish_limits(QueueLimits(), spool_bytes=1)
    metrics.watch_keys(lambda: KeysState(is_file_good=True, valid=1, first_expiry=datetime.now(UTC)))
    processes = (metrics, worker_metrics, dimse_metrics, delivery_metrics)
    for metric in [metric for process in processes for metric in vars(process).values()]:
        if isinstance(metric, MetricWrapperBase):
            for family in metric.collect():
                # A metric without samples shows its labels nowhere else.
                found[_name(family)] = tuple(metric._labelnames)
    for family in text_string_to_metric_families(metrics.exposition(SURROUNDINGS).decode()):
        for sample in family.samples:
            found.setdefault(_name(family), tuple(sample.labels))
    # What every process of Prometheus' world says of itself (process_..., python_...) needs no book.
    return {name: labels for name, labels in found.items() if name.startswith("cxr_") and not name.endswith("_created")}


def _name(family: Metric) -> str:
    return f"{family.name}_total" if family.type == "counter" else family.name


SURROUNDINGS = Surroundings(
    statistics=QueueStatistics(
        depth=dict.fromkeys(Priority, 0),
        oldest_open_ms=dict.fromkeys(Priority),
        retrying=0,
        open=0,
        open_bytes=0,
        dead=0,
        ledger_due=0,
        oldest_ledger_due_ms=None,
    ),
    live_workers=0,
    not_ready="queue_unsafe",
    spool=Usage(payload_bytes=0, picture_bytes=0),
    spool_free_ratio=1.0,
    is_audit_writable=True,
    audit_waiting=0,
    audit_free_ratio=1.0,
)
