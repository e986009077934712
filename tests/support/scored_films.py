"""Invented scored films: patients with a level of their own, AP films sicker, scores that know something."""

from __future__ import annotations

import numpy as np

from training.statistics.scored_films import FilmFacts, ScoredFilms


def invented_films(
    *, patients: int = 150, films: int = 2, seed: int = 0, prefix: str = "p", disputed: float = 0.0, knows: float = 1.0
) -> ScoredFilms:
    """Return ``films`` films each of ``patients`` patients; ``knows`` is how far the classes lie apart."""
    rng = np.random.default_rng(seed)
    count = patients * films
    names = np.repeat([f"{prefix}{number}" for number in range(patients)], films)
    views = rng.choice(["AP", "PA"], count)
    labels = (rng.random(count) < np.where(views == "AP", 0.65, 0.45)).astype(np.int64)
    level = np.repeat(rng.normal(0, 0.5, patients), films)
    margins = level + knows * (labels - 0.5) + 0.3 * (views == "AP") + rng.normal(0, 0.7, count)
    scores = 1 / (1 + np.exp(-margins))
    ages = rng.integers(15, 95, count).astype(np.float64)
    ages[::17] = np.nan
    mass = (labels == 1) & (rng.random(count) < 0.4)
    return ScoredFilms(
        facts=FilmFacts(
            ids=np.array([f"{name}_{number}.png" for number, name in enumerate(names)]),
            patients=names,
            views=views,
            sexes=rng.choice(["F", "M"], count),
            ages=ages,
            is_disputed=rng.random(count) < disputed,
            labels=labels,
        ),
        scores=scores,
        variants={"fp32": scores, "int8": np.clip(scores + rng.normal(0, 0.01, count), 0, 1)},
        rivals={
            "view_only": (views == "AP") * 0.2 + 0.45,
            "hog_logistic_regression": np.clip(scores + rng.normal(0, 0.25, count), 0, 1),
        },
        truths={"Mass": mass.astype(np.int64), "Hernia": np.zeros(count, dtype=np.int64)},
        finding_scores={"Mass": np.clip(scores * 0.5 + 0.3 * mass, 0, 1), "Hernia": scores * 0.01},
    )
