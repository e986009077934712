from __future__ import annotations

from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from services.delivery import metrics
from services.jobs.deliveries import TargetStanding


def samples(name: str) -> dict[tuple[str, ...], float]:
    """Return the samples of a metric by their label values, in the order of the labels' names."""
    families = text_string_to_metric_families(generate_latest(metrics.REGISTRY).decode())
    return {
        tuple(value for _, value in sorted(sample.labels.items())): sample.value
        for family in families
        for sample in family.samples
        if sample.name == name
    }


def standing(name: str, *, is_announced: bool = True, oldest_owed_ms: int | None = None) -> TargetStanding:
    return TargetStanding(
        name=name,
        is_announced=is_announced,
        disabled_reason=None,
        due=0 if oldest_owed_ms is None else 3,
        dead=1,
        oldest_owed_ms=oldest_owed_ms,
        now_ms=1_700_000_090_000,
    )


def test_every_target_is_shown_before_its_first_failure() -> None:
    metrics.name_targets(["pacs-of-names"])
    counted = {labels: value for labels, value in samples("cxr_deliveries_total").items() if "pacs-of-names" in labels}
    assert counted == {(outcome.value, "pacs-of-names"): 0.0 for outcome in metrics.Attempt}


def test_age_is_that_of_the_oldest_result_that_is_owed_and_none_where_all_is_delivered() -> None:
    metrics.show_standings(
        [
            standing("late", oldest_owed_ms=1_700_000_000_000),
            standing("level"),
            standing("of-an-earlier-file", is_announced=False, oldest_owed_ms=1),
        ]
    )
    ages = samples("cxr_outbox_oldest_age_seconds")
    assert (ages[("late",)], ages[("level",)]) == (90.0, 0.0)
    assert ("of-an-earlier-file",) not in ages
    assert samples("cxr_outbox_depth")[("late",)] == 3
    assert samples("cxr_delivery_dead_letters")[("level",)] == 1
