"""Dotted paths lead into tables and named entries of lists, and say how far they got."""

from __future__ import annotations

import pytest

from training.reports.paths import parts_of, pick

DOCUMENT = {
    "runs": [{"name": "rate=0.1", "loss": 1}, {"name": "b", "findings": [{"finding": "Mass", "auc": 0.7}]}],
    "history": [{"accuracy": 0.1}, {"accuracy": 0.9}],
}


def test_quoted_parts_may_hold_dots() -> None:
    assert parts_of('runs."rate=0.1".loss') == ("runs", "rate=0.1", "loss")
    assert pick(DOCUMENT, 'runs."rate=0.1".loss') == 1


def test_entries_of_lists_are_found_by_name_by_finding_and_from_the_end() -> None:
    assert pick(DOCUMENT, "runs.b.findings.Mass.auc") == 0.7
    assert pick(DOCUMENT, "history.-1.accuracy") == 0.9


@pytest.mark.parametrize(
    ("path", "reached"),
    [("runs.c.loss", "runs.c"), ("runs.b.loss.value", "runs.b.loss"), ("nothing", "nothing")],
)
def test_a_path_that_leads_nowhere_says_how_far_it_got(path: str, reached: str) -> None:
    with pytest.raises(KeyError) as caught:
        pick(DOCUMENT, path)
    assert caught.value.args == (reached,)
