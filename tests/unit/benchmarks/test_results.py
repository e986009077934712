"""What the parts write and what the page makes of it; nothing is measured here."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from benchmarks.__main__ import PARTS
from benchmarks.machine import machine_facts
from benchmarks.report import SECTIONS, page, write
from benchmarks.results import ROOT, PartOptions, Row, read_part, shown, verdict, write_part


def test_row_is_met_on_the_right_side_of_its_goal() -> None:
    rates = [Row.at_least("rate", goal=10, measured=measured, unit="films/s") for measured in (9.9, 10.0, 20.0)]
    costs = [Row.at_most("cost", goal=10, measured=measured, unit="ms") for measured in (10.1, 10.0, 5.0)]
    assert [row.met for row in rates] == [row.met for row in costs] == [False, True, True]
    assert [row.ratio for row in (rates[2], costs[2])] == [2.0, 2.0]


def test_row_that_was_not_measured_is_neither_met_nor_missed() -> None:
    row = Row.unmeasured("GPU", goal=0.9, unit="x", note="no GPU on this machine")
    assert (row.met, verdict(row), shown(row.measured, row.unit)) == (None, "not measured", "–")


@pytest.mark.parametrize(
    ("value", "text"), [(1234.5, "1234 ms"), (12.34, "12.3 ms"), (1.234, "1.23 ms"), (0.01234, "0.012 ms")]
)
def test_figure_is_shown_with_the_digits_that_mean_something(value: float, text: str) -> None:
    assert shown(value, "ms") == text


def written(directory: Path, name: str, data: dict[str, Any], *rows: Row) -> dict[str, Any]:
    options = PartOptions(is_quick=False, directory=directory)
    write_part(name, rows, data, started=machine_facts(), options=options, packages={"peer": "1.2.3"})
    document = read_part(directory, name)
    assert document is not None
    return document


def test_part_is_read_as_it_was_written(tmp_path: Path) -> None:
    row = Row.at_least("rate", goal=10, measured=12, unit="films/s", note="told")
    document = written(tmp_path, "cost", {"table": []}, row)
    assert document["rows"] == [asdict(row)]
    assert document["versions"]["peer"] == "1.2.3"
    assert {"processor", "cores", "load", "other_cores"} <= set(document["machine"])
    assert [path.name for path in tmp_path.iterdir()] == ["cost.json"]
    assert read_part(tmp_path, "peers") is None


def test_results_name_no_path_of_this_machine(tmp_path: Path) -> None:
    assert str(ROOT) not in json.dumps(written(tmp_path, "cost", {}))


def test_page_tells_what_was_met_missed_and_not_measured(tmp_path: Path) -> None:
    rows = (
        Row.at_least("fast enough", goal=1, measured=2, unit="x"),
        Row.at_most("change |dp|", goal=1, measured=2, unit="ms", note="a note"),
        Row.unmeasured("no GPU", goal=1, unit="x", note="none here"),
        Row.told("without a goal", measured=3, unit="films/s"),
    )
    document = written(tmp_path, "cost", {"table": []}, *rows)
    document["machine"] |= {"cores": 2, "other_cores": 0.42}
    text = page({"cost": document})
    assert "1 met, 1 missed, 1 not measured here." in text
    assert "| fast enough | 2.00 x | 1.00 x | met |  |" in text
    assert r"| change \|dp\| | 2.00 ms | 1.00 ms | missed | a note |" in text
    assert "| no GPU | – | 1.00 x | not measured | none here |" in text
    assert "Other work had 0.4 of 2 cores while this part ran" in text
    assert text.count("This part was not run.") == len(PARTS) - 1


# One line of what each part writes, as its plot reads it.
_DATA: dict[str, dict[str, Any]] = {
    "decoding": {"table": [{"item": "PNG", "usual_ms": 13.0, "ours_ms": 5.0, "times": 2.6}]},
    "model_limit": {
        "table": [{"network": "ResNet50 224", "label": "cpu fp32", "threads": 2, "speeds": [{"per_second": 50.0}]}]
    },
    "cost": {
        "table": [{"film": "PNG", "by_role_ms": {"gateway": 1.0, "redis": 0.3}}],
        "floor": {"PNG": {"total_ms": 0.9}},
    },
    "depth": {"table": [{"depth": 10, "per_second": 90.0, "memory": {"worker": [(0.0, 200.0), (1.0, 201.0)]}}]},
    "scaling": {"table": [{"workers": 1, "per_second": [25.0, 26.0]}, {"workers": 2, "per_second": [48.0, 47.0]}]},
    "peers": {
        "ceiling_per_second": 47.0,
        "table": [{"server": "this service, fp32", "concurrency": 8, "per_second": 43.0}],
    },
}


def test_plots_are_drawn_and_the_same_figures_give_the_same_bytes(tmp_path: Path) -> None:
    parts = {name: written(tmp_path, name, data) for name, data in _DATA.items()}
    pages = [tmp_path / name / "performance.md" for name in ("first", "second")]
    for target in pages:
        target.parent.mkdir()
        write(parts, target)
    drawn = [sorted((target.parent / "performance").iterdir()) for target in pages]
    assert [path.stem for path in drawn[0]] == sorted(_DATA)
    assert [path.read_bytes() for path in drawn[0]] == [path.read_bytes() for path in drawn[1]]
    assert all(f"](performance/{name}.svg)" in pages[0].read_text() for name in _DATA)


def test_plots_of_an_earlier_run_do_not_stay(tmp_path: Path) -> None:
    (tmp_path / "performance").mkdir()
    (tmp_path / "performance" / "old.svg").write_text("<svg/>")
    write({}, tmp_path / "performance.md")
    assert not list((tmp_path / "performance").iterdir())


def test_every_part_is_a_module_that_can_be_run_and_has_its_place_on_the_page() -> None:
    assert {section.name for section in SECTIONS} == set(PARTS)
    modules = [ROOT / "benchmarks" / part for part in PARTS]
    assert all(path.with_suffix(".py").exists() or (path / "__main__.py").exists() for path in modules)
