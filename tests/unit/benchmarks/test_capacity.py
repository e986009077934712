"""docs/capacity.md: its arithmetic is the figures' of docs/performance.md, and comes out as it says."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from benchmarks.capacity import PAGE, main
from benchmarks.needs import MAXMEMORY_MB, PLACES, Place, costs, measured, needs

_NUMBER = re.compile(r"[\d,]+(?:\.\d+)?")


def rows(heading: str) -> list[list[str]]:
    """Return the cells of the table below a heading, without its head."""
    text = PAGE.read_text(encoding="utf-8").split(f"### {heading}\n\n")[1].split("\n\n")[0]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in text.splitlines()[2:]]


def number(cell: str) -> float:
    found = _NUMBER.search(cell)
    assert found is not None, cell
    return float(found[0].replace(",", ""))


def evaluated(arithmetic: str, **values: float) -> float:
    """Return what the arithmetic of a cell comes to, units left out."""
    text = re.sub(r"(?<=\d) (?:ms|MB|kB|d|films/s|cores)\b", "", arithmetic.split(";")[0]).replace("×", "*")
    assert re.fullmatch(r"[\d\s.*+/()a-z]+", text), text
    return float(eval(text, {"__builtins__": {}}, values))


def test_page_is_what_the_measured_figures_give() -> None:
    assert main(["--check"]) == 0, "python -m benchmarks.capacity"


@pytest.mark.parametrize("row", [row for row in rows("What one film costs") if any(sign in row[1] for sign in "×+/")])
def test_cost_of_one_film_is_what_its_arithmetic_comes_to(row: list[str]) -> None:
    assert evaluated(row[1]) == pytest.approx(number(row[2]), rel=0.03)


IN_WORDS = ("minutes to catch up", "`maxmemory`")  # the next test has them
# What a unit of the arithmetic is in the unit of the result.
SCALES = {"cores": 1e-3, "Redis, share": 1e-1, "share of": 1e-1, "their payloads": 1e-3, "spool": 1e-3}
SCALES |= {"Redis, records": 1e-3, "audit trail": 1e-6}


@pytest.mark.parametrize(
    "row", [row for row in rows("What a place needs") if row[0] not in IN_WORDS], ids=lambda row: row[0]
)
@pytest.mark.parametrize("column", range(len(PLACES)), ids=[place.name for place in PLACES])
def test_need_of_a_place_is_what_its_arithmetic_comes_to(row: list[str], column: int) -> None:
    name, arithmetic, *cells = row
    day = float(PLACES[column].films_a_day)
    peak, waiting = day * 0.15 / 3600 * 2, day * 0.15 * 4
    scale = next((scale for start, scale in SCALES.items() if name.startswith(start)), 1.0)
    expected = evaluated(arithmetic, day=day, peak=peak, waiting=waiting) * scale
    least = 2.0 if "2 at least" in arithmetic else 0.0
    # Cells are rounded, of costs that are rounded, too.
    assert number(cells[column]) == pytest.approx(max(least, expected), rel=0.05, abs=0.06)


def sentences() -> list[str]:
    text = PAGE.read_text(encoding="utf-8").split("### In words\n\n")[1].split("\n\n")[0]
    return text.splitlines()


def test_every_figure_of_the_prose_is_written_with_its_arithmetic() -> None:
    assert len(sentences()) == 6
    for sentence in sentences():
        found = re.search(r"([\d.]+ × [\d. ×/()]+) = ([\d.]+\d)", sentence)
        assert found is not None, sentence
        assert evaluated(found[1]) == pytest.approx(float(found[2]), rel=0.03)
    assert f"\nmaxmemory {MAXMEMORY_MB}mb\n" in (PAGE.parents[1] / "deploy" / "redis.conf").read_text()


def test_minutes_to_catch_up_are_those_in_which_more_is_scored_than_arrives() -> None:
    cost, place = costs(), Place("country", 30_000)
    need = needs(place, cost)
    scored_a_second = need.worker_cores * 1000 / cost.worker_ms
    arriving = place.films_a_day * 0.15 / 3600
    assert need.waiting + arriving * need.catching_up_minutes * 60 == pytest.approx(
        scored_a_second * need.catching_up_minutes * 60
    )
    assert need.maxmemory_mb * 0.7 >= need.redis_mb


def test_more_films_and_dearer_films_need_no_less() -> None:
    cost = costs()
    dearer = replace(cost, decoding_ms=cost.decoding_ms * 20)
    small, large = needs(Place("one", 100_000), cost), needs(Place("two", 200_000), dearer)
    assert all(getattr(large, name) >= getattr(small, name) for name in vars(small))
    assert large.worker_cores > 10 * small.worker_cores


def test_figure_that_the_page_lost_is_named() -> None:
    with pytest.raises(LookupError, match="a row of dreams"):
        measured("a row of dreams")
