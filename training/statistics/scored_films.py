"""Films with their labels and everything that was said of them, and the table that keeps them.

``threshold`` writes the calibrate part this way, ``evaluate`` the test part; cross-validation reads both back.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.datasets.sample import Sample
from training.statistics.metrics import Flags, Floats, Labels

_FACTS = ("id", "patient", "view", "age_years", "sex", "is_disputed", "is_unhealthy")
_SCORE = "probability"
_VARIANT, _RIVAL, _TRUTH, _FINDING = "probability_", "baseline_", "truth_", "score_"
UNKNOWN = "unknown"


@dataclass(frozen=True, kw_only=True)
class FilmFacts:
    """What is known of films before they are scored, each ``(n,)``.

    ``views`` and ``sexes`` say ``unknown`` where the collection does not; ``ages`` are years, NaN where unknown.
    ``labels`` are 1 for unhealthy.
    """

    ids: NDArray[np.str_]
    patients: NDArray[np.str_]
    views: NDArray[np.str_]
    sexes: NDArray[np.str_]
    ages: Floats
    is_disputed: Flags
    labels: Labels

    def where(self, chosen: Flags) -> FilmFacts:
        """Return the chosen films."""
        return FilmFacts(**{each.name: getattr(self, each.name)[chosen] for each in fields(self)})


@dataclass(frozen=True, kw_only=True)
class ScoredFilms:
    """Films with scores, each ``(n,)``.

    Attributes
    ----------
    scores
        Probability of the graph that ships.
    variants
        Probability of every exported graph, by its name.
    rivals
        Scores of the baselines, by name.
    truths, finding_scores
        Label (0 or 1) and probability of each finding, by name.
    """

    facts: FilmFacts
    scores: Floats
    variants: Mapping[str, Floats] = field(default_factory=dict)
    rivals: Mapping[str, Floats] = field(default_factory=dict)
    truths: Mapping[str, Labels] = field(default_factory=dict)
    finding_scores: Mapping[str, Floats] = field(default_factory=dict)

    @property
    def labels(self) -> Labels:
        """1 for unhealthy."""
        return self.facts.labels

    @property
    def patients(self) -> NDArray[np.str_]:
        """Patient of each film."""
        return self.facts.patients

    @property
    def views(self) -> NDArray[np.str_]:
        """View of each film."""
        return self.facts.views

    def where(self, chosen: Flags) -> ScoredFilms:
        """Return the chosen films."""
        return ScoredFilms(
            facts=self.facts.where(chosen),
            scores=self.scores[chosen],
            variants={name: scores[chosen] for name, scores in self.variants.items()},
            rivals={name: scores[chosen] for name, scores in self.rivals.items()},
            truths={name: truth[chosen] for name, truth in self.truths.items()},
            finding_scores={name: scores[chosen] for name, scores in self.finding_scores.items()},
        )


def joined(parts: Sequence[ScoredFilms]) -> ScoredFilms:
    """Return the films of all parts after each other; every part has the same variants, rivals and findings."""

    def joined_by_name(attribute: str) -> dict[str, Any]:
        names = getattr(parts[0], attribute)
        return {name: np.concatenate([getattr(part, attribute)[name] for part in parts]) for name in names}

    facts = {
        each.name: np.concatenate([getattr(part.facts, each.name) for part in parts]) for each in fields(FilmFacts)
    }
    return ScoredFilms(
        facts=FilmFacts(**facts),
        scores=np.concatenate([part.scores for part in parts]),
        variants=joined_by_name("variants"),
        rivals=joined_by_name("rivals"),
        truths=joined_by_name("truths"),
        finding_scores=joined_by_name("finding_scores"),
    )


def facts_of(samples: Iterable[Sample]) -> FilmFacts:
    """Return what the collection says of ``samples``, in their order."""
    films = list(samples)
    return FilmFacts(
        ids=np.array([film.id for film in films], dtype=np.str_),
        patients=np.array([film.patient for film in films], dtype=np.str_),
        views=np.array([film.view or UNKNOWN for film in films], dtype=np.str_),
        sexes=np.array([film.sex or UNKNOWN for film in films], dtype=np.str_),
        ages=np.array([np.nan if film.age_years is None else film.age_years for film in films], dtype=np.float64),
        is_disputed=np.array([film.is_disputed for film in films], dtype=np.bool_),
        labels=np.array([film.is_unhealthy for film in films], dtype=np.int64),
    )


def write_scored_films(path: Path, films: ScoredFilms) -> None:
    """Write one row a film; every float so that it reads back as the same number."""
    facts = films.facts
    columns: dict[str, Iterable[Any]] = {
        "id": facts.ids,
        "patient": facts.patients,
        "view": _blank(facts.views),
        "age_years": ["" if np.isnan(age) else int(age) for age in facts.ages],
        "sex": _blank(facts.sexes),
        "is_disputed": facts.is_disputed.astype(int),
        "is_unhealthy": facts.labels,
        _SCORE: films.scores.tolist(),
        **{_VARIANT + name: scores.tolist() for name, scores in films.variants.items()},
        **{_RIVAL + name: scores.tolist() for name, scores in films.rivals.items()},
    }
    for name, truth in films.truths.items():
        columns |= {_TRUTH + name: truth, _FINDING + name: films.finding_scores[name].tolist()}
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))


def read_scored_films(path: Path) -> ScoredFilms:
    """Read what ``write_scored_films`` wrote, in the same order."""
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.reader(file)
        names = next(reader)
        rows = list(reader)
    columns = {name: [row[place] for row in rows] for place, name in enumerate(names)}
    ages = [np.nan if age == "" else float(age) for age in columns["age_years"]]
    return ScoredFilms(
        facts=FilmFacts(
            ids=np.array(columns["id"], dtype=np.str_),
            patients=np.array(columns["patient"], dtype=np.str_),
            views=np.array([view or UNKNOWN for view in columns["view"]], dtype=np.str_),
            sexes=np.array([sex or UNKNOWN for sex in columns["sex"]], dtype=np.str_),
            ages=np.array(ages, dtype=np.float64),
            is_disputed=np.array([flag == "1" for flag in columns["is_disputed"]], dtype=np.bool_),
            labels=np.array(columns["is_unhealthy"], dtype=np.int64),
        ),
        scores=np.array(columns[_SCORE], dtype=np.float64),
        variants=_with_prefix(columns, _VARIANT),
        rivals=_with_prefix(columns, _RIVAL),
        truths={name: truth.astype(np.int64) for name, truth in _with_prefix(columns, _TRUTH).items()},
        finding_scores=_with_prefix(columns, _FINDING),
    )


def _with_prefix(columns: Mapping[str, list[str]], prefix: str) -> dict[str, Floats]:
    return {
        name.removeprefix(prefix): np.array(values, dtype=np.float64)
        for name, values in columns.items()
        if name.startswith(prefix) and name not in _FACTS
    }


def _blank(values: NDArray[np.str_]) -> list[str]:
    return ["" if value == UNKNOWN else value for value in values.tolist()]
