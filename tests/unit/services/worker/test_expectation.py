"""What a policy is expected to flag: between both classes where nothing is known of a site, narrower where it is."""

from __future__ import annotations

import pytest

from model.bundle import read_bundle
from model.decision import Policy
from services.jobs.operating_tables import OperatingTable, table_of
from services.worker import metrics
from services.worker.bundles import default_bundle_directory
from services.worker.expectation import FlagShare


@pytest.fixture(scope="module")
def table() -> OperatingTable:
    return table_of(read_bundle(default_bundle_directory()))


def test_without_a_prevalence_anything_between_both_classes_is_expected(table: OperatingTable) -> None:
    share = FlagShare.of(table, threshold := table.default.threshold)
    caught, cleared = table.sensitivity(threshold), table.specificity(threshold)
    assert caught is not None
    assert cleared is not None
    assert share == FlagShare(low=pytest.approx(1 - cleared.high), high=pytest.approx(caught.high))


@pytest.mark.parametrize("prevalence", [0.01, 0.1, 0.5])
def test_prevalence_narrows_the_bounds_around_what_is_expected(table: OperatingTable, prevalence: float) -> None:
    wide = FlagShare.of(table, table.default.threshold)
    share = FlagShare.of(table, table.default.threshold, prevalence=prevalence)
    assert share.expected is not None
    assert wide.low <= share.low < share.expected < share.high <= wide.high


def test_policy_that_flags_everything_is_expected_to(table: OperatingTable) -> None:
    share = FlagShare.of(table, 0.0, prevalence=0.1)
    assert share.expected == share.high == pytest.approx(1.0)


def test_bundle_without_test_films_allows_every_share() -> None:
    assert FlagShare.of(None, 0.5) == FlagShare(low=0.0, high=1.0)
    assert FlagShare.of(None, 0.5, prevalence=0.2) == FlagShare(low=0.0, high=pytest.approx(1.0))


def test_metrics_show_the_policies_of_now_with_both_outcomes_and_the_widest_bounds_of_unnamed_sites() -> None:
    metrics.name_sites(["north"])
    policies = [
        Policy(site=site, version=1, name="own", threshold=0.5, model_digest="cd" * 32) for site in ("north", "a", "b")
    ]
    shares = [FlagShare(low=0.1, high=0.2, expected=0.15), FlagShare(low=0.3, high=0.4), FlagShare(low=0.2, high=0.9)]
    metrics.show_policies([])
    metrics.show_policies(zip(policies, shares, strict=True))
    shown = {
        (sample.labels["site"], sample.labels["bound"]): sample.value
        for family in metrics.POLICY_FLAG_SHARE.collect()
        for sample in family.samples
    }
    assert shown == {
        ("north", "low"): 0.1,
        ("north", "high"): 0.2,
        ("north", "expected"): 0.15,
        ("other", "low"): 0.2,
        ("other", "high"): 0.9,
    }
    counted = {
        (sample.labels["site"], sample.labels["outcome"])
        for family in metrics.DECISIONS.collect()
        for sample in family.samples
        if sample.name.endswith("_total") and (sample.labels["policy"], sample.labels["model"]) == ("own/1", "cd" * 6)
    }
    assert counted == {(site, outcome) for site in ("north", "other") for outcome in ("flagged", "not_flagged")}
    metrics.show_policies([])
    metrics.name_sites([])
