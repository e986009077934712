"""Plots are drawn from any report that the measurements can give, however poor, and show its figures."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.figure import Figure

from tests.support.reports import simulated_films, simulated_history, simulated_report
from training.recipe import ThresholdRecipe
from training.reporting.plots import PLOTS, draw_plots
from training.reporting.plots.style import figures, looks_of

WIDTH_PIXELS = 960


@pytest.fixture(scope="module")
def report() -> dict[str, Any]:
    return _as_read(simulated_report())


def test_every_plot_is_a_png_of_the_house_width(report: dict[str, Any], tmp_path: Path) -> None:
    draw_plots(report, tmp_path)
    assert {path.stem for path in tmp_path.iterdir()} == set(PLOTS)
    for path in tmp_path.iterdir():
        content = path.read_bytes()
        assert content[:8] == b"\x89PNG\r\n\x1a\n"
        assert struct.unpack(">I", content[16:20]) == (WIDTH_PIXELS,)


def test_drawing_changes_nothing_outside_its_figure(report: dict[str, Any]) -> None:
    before = dict(mpl.rcParams)
    PLOTS["roc"](report)
    assert dict(mpl.rcParams) == before


def test_the_same_report_gives_the_same_bytes(report: dict[str, Any], tmp_path: Path) -> None:
    drawn = []
    for name in ("first", "second"):
        figure = PLOTS["histogram"](report)
        assert figure is not None
        figure.savefig(tmp_path / name, format="png", metadata={"Software": None})
        drawn.append((tmp_path / name).read_bytes())
    assert drawn[0] == drawn[1]


@pytest.mark.parametrize("name", [name for name in PLOTS if name not in ("history", "subgroups")])
def test_every_plot_of_test_films_says_how_many_there_are(report: dict[str, Any], name: str) -> None:
    figure = PLOTS[name](report)
    assert figure is not None
    assert f"{report['test']['films']:,} films of {report['test']['patients']:,} patients" in _texts(figure)


def test_the_roc_marks_every_operating_point_where_the_report_has_it(report: dict[str, Any]) -> None:
    figure = PLOTS["roc"](report)
    assert figure is not None
    marked = {str(line.get_label()): line for line in figure.axes[0].get_lines()}
    for name, point in report["test"]["operating_points"].items():
        assert marked[name].get_xydata().tolist() == [
            [1 - point["specificity"]["value"], point["sensitivity"]["value"]]
        ]


def test_the_roc_draws_both_baselines_with_their_auc(report: dict[str, Any]) -> None:
    figure = PLOTS["roc"](report)
    assert figure is not None
    labels = [str(line.get_label()) for line in figure.axes[0].get_lines()]
    for name in ("view only", "HOG + logistic regression"):
        assert any(label.startswith(name) for label in labels)


def test_every_matrix_shows_the_counts_of_its_point(report: dict[str, Any]) -> None:
    figure = PLOTS["confusion"](report)
    assert figure is not None
    shown = _texts(figure)
    for name, point in report["test"]["operating_points"].items():
        assert f"{name}  ≥ {point['threshold']:.3f}" in shown
        assert all(f"{count:,}\n" in shown for count in point["confusion"].values())


def test_f3_is_never_drawn_without_flagging_everything(report: dict[str, Any]) -> None:
    for name in ("f_beta", "prevalence"):
        figure = PLOTS[name](report)
        assert figure is not None
        assert any("flag everything" in str(line.get_label()) for line in figure.axes[0].get_lines())


def test_a_finding_with_too_few_films_keeps_its_row(report: dict[str, Any]) -> None:
    figure = PLOTS["findings"](report)
    assert figure is not None
    assert "Hernia" in _texts(figure)
    assert "too few" in _texts(figure)


def test_a_collection_with_one_unhealthy_film_no_views_and_no_findings_is_drawn(tmp_path: Path) -> None:
    films = simulated_films(60, unhealthy=np.eye(1, 60, dtype=np.int64)[0], views=False, findings=())
    report = _as_read(simulated_report(films)) | {"history": []}
    draw_plots(report, tmp_path)
    drawn = {path.stem for path in tmp_path.iterdir()}
    assert {"findings", "history", "prevalence", "roc"}.isdisjoint(drawn)
    assert {"histogram", "confusion", "decision_cost", "f_beta", "subgroups"} <= drawn


def test_films_that_all_score_the_same_are_drawn_at_ten_points(tmp_path: Path) -> None:
    many = ThresholdRecipe(certified=(0.9, 0.95, 0.975, 0.99), expected=(0.95, 0.99), costs=(5.0, 10.0, 50.0))
    films = simulated_films(90, separation=0.0)
    draw_plots(_as_read(simulated_report(films, calibrate=films, thresholds=many)), tmp_path)
    assert {path.stem for path in tmp_path.iterdir()} == set(PLOTS)


def test_twenty_thousand_films_are_drawn(tmp_path: Path) -> None:
    report = simulated_report(simulated_films(20_000), thresholds=ThresholdRecipe(), replicates=3)
    draw_plots(_as_read(report), tmp_path)
    assert {path.stem for path in tmp_path.iterdir()} == set(PLOTS)


def test_reliability_tells_the_checked_probability_from_the_shifted_one_that_is_served(report: dict[str, Any]) -> None:
    shifted = report | {"calibration": report["calibration"] | {"prior_shift": -1.5}}
    figure = PLOTS["reliability"](shifted)
    assert figure is not None
    upper, lower = (axes.get_xlabel() for axes in figure.axes)
    assert "before the site's shift" in upper
    assert "shifted by -1.50" in lower


def test_one_fine_tune_needs_no_legend_to_tell_it_from_others() -> None:
    figure = PLOTS["history"]({"history": simulated_history(members=1)})
    assert figure is not None
    assert figure.legends == []
    assert "10 epochs, 1 fine-tune" in _texts(figure)


def test_undefined_intervals_have_no_bars() -> None:
    values, bars = figures(
        [
            {"value": 0.5, "low": None, "high": None},
            {"value": None, "low": 0.1, "high": 0.2},
            {"value": 0.5, "low": 0.6, "high": 0.7},
        ]
    )
    assert np.array_equal(values, [0.5, np.nan, 0.5], equal_nan=True)
    assert bars.tolist() == [[0.0, 0.0, 0.0], [0.0, 0.0, pytest.approx(0.2)]]


def test_no_two_of_twelve_points_look_alike_even_without_colour() -> None:
    looks = looks_of([f"point{number}" for number in range(12)]).values()
    assert len({look.marker for look in looks}) == len({str(look.dashes) for look in looks}) == 12


def _as_read(report: dict[str, Any]) -> dict[str, Any]:
    read: dict[str, Any] = json.loads(json.dumps(report))
    return read


def _texts(figure: Figure) -> str:
    return "\n".join(text.get_text() for text in figure.findobj(lambda artist: hasattr(artist, "get_text")))
