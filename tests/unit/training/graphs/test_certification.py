"""A point ships only as its calibrate scores give it, and not where test patients refute it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.support.exports import export_facts
from tests.support.scored_films import invented_films
from tests.support.training_runs import tiny_recipe
from training.errors import PublishRefused
from training.graphs.certification import points_of, require_recomputed, require_unrefuted

FILMS = invented_films(patients=200)
PROVENANCE = {"reader": "nih", "patients_known": True}


def points(variant: Any = "fp32", **provenance: object) -> list[dict[str, Any]]:
    return points_of(FILMS, variant, tiny_recipe(), export_facts(), PROVENANCE | provenance)


def changed(**changes: object) -> list[dict[str, Any]]:
    return [point | changes if point["name"] == "sens95" else point for point in points()]


def test_points_that_the_scores_give_are_accepted_whatever_the_day() -> None:
    made = points()
    certificate = made[1]["certificate"] | {"certified_on": "2020-02-02"}
    require_recomputed(changed(certificate=certificate), made)


@pytest.mark.parametrize(
    ("shipped", "said"),
    [
        (changed(threshold=0.7), r"the threshold of sens95 is 0\.700000, calibrate_scores\.csv gives"),
        (changed(evidence="certified by hand"), "sens95 says something else"),
        (changed(certificate=None), "sens95 says something else"),
        (points()[:1], "the points are not those of the recipe: sens95"),
        ([*points(), points()[0]], "some twice"),
    ],
)
def test_points_that_the_scores_do_not_give_are_refused(shipped: list[dict[str, Any]], said: str) -> None:
    with pytest.raises(PublishRefused, match=said):
        require_recomputed(shipped, points())


def test_scores_that_were_changed_afterwards_are_noticed() -> None:
    moved = replace(FILMS, variants={"fp32": np.clip(FILMS.variants["fp32"] + 0.1, 0, 1)})
    with pytest.raises(PublishRefused, match="certification: "):
        require_recomputed(points(), points_of(moved, "fp32", tiny_recipe(), export_facts(), PROVENANCE))


def test_int8_gives_way_by_its_golden_tolerance() -> None:
    same = replace(FILMS, variants={"fp32": FILMS.scores, "int8": FILMS.scores})
    fp32, int8 = (
        points_of(same, variant, tiny_recipe(), export_facts(), PROVENANCE)[1] for variant in ("fp32", "int8")
    )
    assert fp32["name"] == "sens95"
    assert int8["threshold"] == pytest.approx(fp32["threshold"] - 5e-3)


def test_a_certificate_that_test_patients_refute_does_not_ship() -> None:
    test = {"misses": 19, "positives": 95, "p_value": 1e-6, "rejected_at_01": True}
    require_unrefuted({"certificates": {"sens95": test | {"rejected_at_01": False}, "sens99": None}})
    with pytest.raises(PublishRefused, match="the test patients refute sens95: 19 of 95 missed, p = 1e-06"):
        require_unrefuted({"certificates": {"sens95": test}})
