"""The folds of a cross-validation as they were scored, joined so that every film stands once.

A film's score comes from the fold whose network never saw its patient; its flags from that fold's own thresholds.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.errors import PatientLeakage
from training.run_directory import RunDirectory
from training.statistics.metrics import Flags
from training.statistics.reweighting import F3_HERE
from training.statistics.scored_films import ScoredFilms, joined, read_scored_films
from training.statistics.thresholds import f_beta_threshold


@dataclass(frozen=True, kw_only=True)
class Fold:
    """The test films of one fold and what its own calibrate films made of them.

    ``thresholds`` are the operating points of the variant that ships.
    """

    test: ScoredFilms
    calibrate: ScoredFilms
    thresholds: Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class JoinedFolds:
    """``films`` of all folds after each other; ``numbers`` ``(n,)`` says of which fold each is."""

    folds: Sequence[Fold]
    films: ScoredFilms
    numbers: NDArray[np.str_]

    @property
    def numbers_and_views(self) -> NDArray[np.str_]:
        """Fold and view of each film, as one stratum."""
        return np.char.add(self.numbers, self.films.views)

    def flags(self, prevalence: float | None = None) -> dict[str, Flags]:
        """Return each film's flag at each operating point of its own fold.

        With a prevalence also ``f3_here``: the F3 optimum of the fold's calibrate films reweighted to it.
        """
        points = [dict(fold.thresholds) for fold in self.folds]
        if prevalence is not None:
            for fold, thresholds in zip(self.folds, points, strict=True):
                thresholds[F3_HERE] = f_beta_threshold(
                    fold.calibrate.labels, fold.calibrate.scores, prevalence=prevalence
                )
        pairs = list(zip(self.folds, points, strict=True))
        return {
            name: np.concatenate([fold.test.scores >= thresholds[name] for fold, thresholds in pairs])
            for name in points[0]
        }


def read_fold(run: RunDirectory, *, leave_out_disputed: bool) -> Fold:
    """Read what ``threshold`` and ``evaluate`` wrote into one fold's run directory."""
    test = read_scored_films(run.test_scores)
    if leave_out_disputed:
        test = test.where(~test.facts.is_disputed)
    ships = json.loads(run.export_facts.read_text(encoding="utf-8"))["ships"]
    points = json.loads(run.operating_points.read_text(encoding="utf-8"))["variants"][ships]["points"]
    return Fold(
        test=test,
        calibrate=read_scored_films(run.calibrate_scores),
        thresholds={point["name"]: point["threshold"] for point in points},
    )


def join_folds(folds: Sequence[Fold]) -> JoinedFolds:
    """Join folds of one split.

    Raises
    ------
    PatientLeakage
        If a patient is in the test part of two folds: they were not cut from one split.
    """
    seen: set[str] = set()
    for fold in folds:
        patients = set(fold.test.patients.tolist())
        if shared := seen & patients:
            raise PatientLeakage(f"{len(shared)} patients are in the test part of two folds (first: {min(shared)})")
        seen |= patients
    numbers = [f"{number} " for number in range(len(folds))]
    # Which graph ships may differ from fold to fold; the other variants have no place in joined figures.
    tests = [
        ScoredFilms(
            facts=fold.test.facts,
            scores=fold.test.scores,
            rivals=fold.test.rivals,
            truths=fold.test.truths,
            finding_scores=fold.test.finding_scores,
        )
        for fold in folds
    ]
    return JoinedFolds(
        folds=folds, films=joined(tests), numbers=np.repeat(numbers, [len(test.labels) for test in tests])
    )
