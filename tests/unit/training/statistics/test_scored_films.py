"""The table of scores reads back as the numbers that were written, bit for bit."""

from __future__ import annotations

import csv
from dataclasses import fields
from pathlib import Path

import numpy as np

from tests.support.scored_films import invented_films
from training.datasets.sample import Sample
from training.statistics.scored_films import (
    FilmFacts,
    ScoredFilms,
    facts_of,
    joined,
    read_scored_films,
    write_scored_films,
)


def assert_same(first: ScoredFilms, second: ScoredFilms) -> None:
    for each in fields(FilmFacts):
        np.testing.assert_array_equal(getattr(first.facts, each.name), getattr(second.facts, each.name))
    np.testing.assert_array_equal(first.scores, second.scores)
    for name in ("variants", "rivals", "truths", "finding_scores"):
        mine, its = getattr(first, name), getattr(second, name)
        assert list(mine) == list(its)
        for key in mine:
            np.testing.assert_array_equal(mine[key], its[key])


def test_what_was_written_is_read(tmp_path: Path) -> None:
    films = invented_films(disputed=0.1)
    write_scored_films(tmp_path / "scores.csv", films)
    assert_same(films, read_scored_films(tmp_path / "scores.csv"))


def test_no_films_are_written_and_read(tmp_path: Path) -> None:
    films = invented_films().where(np.zeros(300, dtype=bool))
    write_scored_films(tmp_path / "scores.csv", films)
    assert_same(films, read_scored_films(tmp_path / "scores.csv"))


def test_the_first_columns_are_those_that_publish_reads(tmp_path: Path) -> None:
    write_scored_films(tmp_path / "scores.csv", invented_films())
    with (tmp_path / "scores.csv").open(newline="") as file:
        header = next(csv.reader(file))
    assert header[:8] == [
        "id",
        "patient",
        "view",
        "age_years",
        "sex",
        "is_disputed",
        "is_unhealthy",
        "probability",
    ]
    assert {"probability_fp32", "probability_int8", "baseline_view_only", "truth_Mass", "score_Mass"} <= set(header)


def test_what_a_collection_does_not_say_is_unknown(tmp_path: Path) -> None:
    known = Sample(id="a", path=Path("a"), patient="1", findings=("Mass",), view="AP", age_years=40, sex="F")
    facts = facts_of([known, Sample(id="b", path=Path("b"), patient="2", findings=(), is_disputed=True)])
    assert facts.labels.tolist() == [1, 0]
    assert facts.views.tolist() == ["AP", "unknown"]
    assert facts.sexes.tolist() == ["F", "unknown"]
    assert np.isnan(facts.ages[1])
    assert facts.is_disputed.tolist() == [False, True]
    films = ScoredFilms(facts=facts, scores=np.array([0.1, 0.2]))
    write_scored_films(tmp_path / "scores.csv", films)
    assert_same(films, read_scored_films(tmp_path / "scores.csv"))


def test_joined_films_keep_every_column() -> None:
    films = invented_films()
    first = np.arange(300) < 100
    assert_same(films, joined([films.where(first), films.where(~first)]))
