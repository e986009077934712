"""The same network at another share of unhealthy films: F3, predictive values, and what is cleared and missed.

Sensitivity and false-positive rate are measured; prevalence is set. That holds where only the share differs, not the
films of each class (a screening site's unhealthy films may be subtler).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.statistics.figures import figure, missing, too_few
from training.statistics.groups import Points, flag_statistics
from training.statistics.intervals import Bootstrap
from training.statistics.metrics import Flags, Floats, Labels, f_beta_flag_everything, f_beta_of_rates
from training.statistics.scored_films import ScoredFilms
from training.statistics.thresholds import f_beta_threshold

# The operating point that a site of that very prevalence would be given.
F3_HERE = "f3_here"


def prevalence_tables(
    test: ScoredFilms,
    calibrate: ScoredFilms,
    thresholds: Mapping[str, float],
    prevalences: Sequence[float],
    bootstrap: Bootstrap,
) -> list[dict[str, Any]]:
    """Return, for each prevalence and the test films' own, the figures of each operating point reweighted to it.

    ``f3_here`` is the F3 optimum of the calibrate films reweighted to that prevalence; no test film has a say in it.
    Empty where the test films hold one class only.
    """
    if len(np.unique(test.labels)) < 2:
        return []
    own = float(test.labels.mean())
    shared = {name: test.scores >= threshold for name, threshold in thresholds.items()}
    tables = []
    for prevalence in sorted({*prevalences, own}):
        here = f_beta_threshold(calibrate.labels, calibrate.scores, prevalence=prevalence)
        points = {**thresholds, F3_HERE: here}
        flags = {**shared, F3_HERE: test.scores >= here}
        figures = reweighted(test.labels, test.patients, flags, prevalence, bootstrap)
        tables.append(
            {
                "prevalence": prevalence,
                "is_own": prevalence == own,
                "f3_flag_everything": f_beta_flag_everything(prevalence),
                "operating_points": {name: {"threshold": points[name], **figures[name]} for name in points},
            }
        )
    return tables


def reweighted(
    labels: Labels, patients: NDArray[np.str_], flags: Points, prevalence: float, bootstrap: Bootstrap
) -> dict[str, dict[str, Any]]:
    """Return the figures of each operating point as if ``prevalence`` of the films were unhealthy.

    The bootstrap draws patients for the two rates; the prevalence is taken as known.
    """
    draws = bootstrap.draws(patients, lambda weights: flag_statistics(labels, flags, weights))
    note = too_few(patients, {"unhealthy": labels == 1, "healthy": labels == 0})
    tables = {}
    for name, flagged in flags.items():
        drawn = at_prevalence(draws[f"sensitivity {name}"], 1 - draws[f"specificity {name}"], prevalence)
        found = at_prevalence(*_rates(labels, flagged), prevalence)
        tables[name] = {
            ratio: missing(note) if note is not None else figure(_number(value), drawn[ratio])
            for ratio, value in found.items()
        }
    return tables


def at_prevalence(sensitivity: Floats, false_positive_rate: Floats, prevalence: float) -> dict[str, Floats]:
    """Return F3, skill, predictive values, and films cleared and missed of 1,000, from rates ``(b,)``.

    A film is cleared if it is not flagged, a missed one included.
    """
    caught, needless = sensitivity * prevalence, false_positive_rate * (1 - prevalence)
    missed, released = prevalence - caught, 1 - prevalence - needless
    everything = f_beta_flag_everything(prevalence)
    f3 = f_beta_of_rates(sensitivity, false_positive_rate, prevalence)
    with np.errstate(invalid="ignore", divide="ignore"):
        return {
            "f3": f3,
            "f3_skill": (f3 - everything) / (1 - everything),
            "ppv": caught / (caught + needless),
            "npv": np.where(missed + released > 0, released / (missed + released), np.nan),
            "cleared_per_1000": 1000 * (missed + released),
            "missed_per_1000": 1000 * missed,
        }


def _rates(labels: Labels, flagged: Flags) -> tuple[Floats, Floats]:
    return np.array([flagged[labels == 1].mean()]), np.array([flagged[labels == 0].mean()])


def _number(value: Floats) -> float | None:
    return float(value[0]) if np.isfinite(value[0]) else None
