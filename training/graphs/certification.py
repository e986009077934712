"""Whether the operating points that ship are those that calibrate films choose, and certify what they say.

Everything is recomputed from the calibrate scores: a threshold is never taken on trust.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import numpy as np
from scipy.stats import beta

from model.manifest import Certificate
from training.errors import PublishRefused
from training.graphs.export_facts import ExportFacts, Variant
from training.provenance import patients_known
from training.recipe import Recipe, certified_name
from training.statistics.operating_points import Grounds, operating_points, undated
from training.statistics.scored_films import ScoredFilms
from training.statistics.thresholds import FLAG_EVERYTHING
from training.statistics.tolerances import CERTIFIED_MARGIN

# The bound is recomputed with the same function in the same precision; only the way through JSON lies between.
_BOUND_SLACK = 1e-9

Point = dict[str, Any]


def points_of(
    films: ScoredFilms, variant: Variant, recipe: Recipe, facts: ExportFacts, provenance: Mapping[str, Any]
) -> list[Point]:
    """Return the operating points of one variant, from its scores of calibrate ``films``; certificates are of today."""
    grounds = Grounds(
        seed=recipe.seed,
        shift=facts.prior_shift,
        margin=CERTIFIED_MARGIN[variant],
        patients_known=patients_known(provenance),
        today=datetime.now(UTC).date(),
    )
    return operating_points(films.facts, films.variants[variant], recipe.threshold, grounds)


def require_recomputed(points: list[Point], recomputed: list[Point]) -> None:
    """Refuse points that the calibrate scores do not give: another threshold, another certificate, other words."""
    expected = {point["name"]: point for point in undated(recomputed)}
    found = {point["name"]: point for point in undated(points)}
    if set(expected) != set(found) or len(points) != len(recomputed):
        names = ", ".join(sorted(set(expected) ^ set(found))) or "some twice"
        raise PublishRefused(f"certification: the points are not those of the recipe: {names}")
    for name, point in found.items():
        if point["threshold"] != expected[name]["threshold"]:
            raise PublishRefused(
                f"certification: the threshold of {name} is {point['threshold']:.6f}, "
                f"calibrate_scores.csv gives {expected[name]['threshold']:.6f}"
            )
        if point != expected[name]:
            raise PublishRefused(
                f"certification: {name} says something else than calibrate_scores.csv gives; repeat threshold"
            )


def require_certified(points: list[Point], recipe: Recipe) -> None:
    """Refuse a certified point whose certificate is missing, or does not follow from its own numbers."""
    asked = {certified_name(sensitivity): sensitivity for sensitivity in recipe.threshold.certified}
    for point in points:
        name, given = point["name"], point["certificate"]
        if given is not None:
            _require_sound(name, Certificate.model_validate(given))
        if name not in asked or point["threshold"] == FLAG_EVERYTHING:
            continue
        if given is None:
            raise PublishRefused(f"certification: {name} has a threshold above 0 and no certificate")
        promised = (1 - asked[name], 1 - recipe.threshold.confidence)
        if not np.allclose((given["alpha"], given["delta"]), promised, rtol=0, atol=_BOUND_SLACK):
            raise PublishRefused(f"certification: {name} is certified for another promise than the recipe's")
    missing = set(recipe.threshold.names) - {point["name"] for point in points}
    if missing:
        raise PublishRefused(f"certification: the operating points {', '.join(sorted(missing))} were not made")


def require_unrefuted(report: Mapping[str, Any]) -> None:
    """Refuse a certificate that the run's own test patients contradict."""
    for name, test in report["certificates"].items():
        if test is not None and test["rejected_at_01"]:
            raise PublishRefused(
                f"certification: the test patients refute {name}: {test['misses']} of {test['positives']} missed, "
                f"p = {test['p_value']:.2g}; look for what tells calibrate from test patients before training again"
            )


def _require_sound(name: str, certificate: Certificate) -> None:
    # The miss rate below the order statistic s_(k+1) of n positives is distributed as Beta(k + 1, n - k) (ML.md §B).
    misses, positives = certificate.misses, certificate.positives
    bound = float(beta.ppf(1 - certificate.delta, misses + 1, positives - misses)) if misses < positives else 1.0
    if not math.isclose(bound, certificate.miss_bound, rel_tol=0, abs_tol=_BOUND_SLACK):
        raise PublishRefused(
            f"certification: {misses} misses of {positives} bound the miss rate of {name} by {bound:.4f}, "
            f"its certificate says {certificate.miss_bound:.4f}"
        )
    if not bound <= certificate.alpha + _BOUND_SLACK:
        raise PublishRefused(
            f"certification: {name} promises a miss rate of {certificate.alpha:g} at most, its bound is {bound:.4f}"
        )
