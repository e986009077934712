"""What a threshold amounts to: from a report's curves, from named points alone, and with its interval."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from model.bundle import read_bundle
from services.jobs.intervals import wilson
from services.jobs.operating_tables import OperatingTable, table_of
from services.worker.bundles import default_bundle_directory
from tests.support.bundles import write_tiny_bundle
from tests.support.policies import HEALTHY, UNHEALTHY, write_reported_bundle


@pytest.fixture(scope="module")
def reported(tmp_path_factory: pytest.TempPathFactory) -> OperatingTable:
    return table_of(read_bundle(write_reported_bundle(tmp_path_factory.mktemp("bundle") / "reported")))


@given(threshold=st.floats(0.0, 1.0))
def test_a_threshold_amounts_to_the_films_that_it_flags(reported: OperatingTable, threshold: float) -> None:
    row = reported.row(threshold)
    assert row.true_positives == sum(score >= threshold for score in UNHEALTHY)
    assert row.false_positives == sum(score >= threshold for score in HEALTHY)


def test_the_shipped_bundles_table_agrees_with_its_named_points() -> None:
    table = table_of(read_bundle(default_bundle_directory()))
    assert table.rows[0].threshold == 0.0
    assert (table.rows[-1].true_positives, table.rows[-1].false_positives) == (0, 0)
    for point in table.operating_points:
        sensitivity, specificity = table.sensitivity(point.threshold), table.specificity(point.threshold)
        assert sensitivity is not None
        assert specificity is not None
        assert sensitivity.value == pytest.approx(point.sensitivity), point.name
        assert specificity.value == pytest.approx(point.specificity), point.name
        assert (sensitivity.n, specificity.n) == (point.positives, point.negatives)


def test_a_bundle_without_curves_has_its_named_points_and_promises_no_more_than_the_next(tmp_path: Path) -> None:
    table = table_of(read_bundle(write_tiny_bundle(tmp_path / "tiny", more_files={"report.json": b'{"test": {}}'})))
    assert [row.threshold for row in table.rows] == [0.0, 1.0]
    assert table.sensitivity(0.2) is None, "nothing was measured"


def test_a_table_comes_back_as_it_was_kept(reported: OperatingTable) -> None:
    assert OperatingTable.model_validate_json(reported.model_dump_json()) == reported


@given(n=st.integers(1, 2000), share=st.floats(0.0, 1.0))
def test_intervals_are_wilsons(n: int, share: float) -> None:
    hits = round(share * n)
    found = wilson(hits, n)
    assert found is not None
    expected = binomtest(hits, n).proportion_ci(0.95, method="wilson")
    assert found.low == pytest.approx(expected.low, abs=1e-9)
    assert found.high == pytest.approx(expected.high, abs=1e-9)
    assert 0.0 <= found.low <= found.value <= found.high <= 1.0


def test_nothing_counted_is_no_share() -> None:
    assert wilson(0, 0) is None
