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
from training.reporting.plots.style import figures, looks_of, save

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
        save(figure, tmp_path / name)
        drawn.append((tmp_path / name).read_bytes())
    assert drawn[0] == drawn[1]


@pytest.mark.parametrize("name", [name for name in PLOTS if name not in ("head_history", "history", "subgroups")])
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


def test_a_history_tells_train_from_select_films_and_fine_tunes_where_there_are_several() -> None:
    for members, named in ((1, False), (2, True)):
        figure = PLOTS["history"]({"history": simulated_history(members=members)})
        assert figure is not None
        (legend,) = figure.legends
        said = [text.get_text() for text in legend.get_texts()]
        assert said[:2] == ["train films", "select films"]
        assert any("fine-tune 1" in text for text in said) is named
    assert "20 epochs, 2 fine-tunes" in _texts(figure)


def test_a_history_from_before_select_losses_were_kept_is_drawn_with_what_it_has() -> None:
    old = [{"number": epoch, "loss": 0.6, "select_auc": 0.7, "findings_auc": None} for epoch in range(3)]
    figure = PLOTS["history"]({"history": old})
    assert figure is not None
    loss, accuracy, area = (len(axes.get_lines()) for axes in figure.axes)
    assert (loss, accuracy, area) == (1, 0, 1)


def test_half_stands_beside_always_unhealthy_with_both_f3(report: dict[str, Any]) -> None:
    figure = PLOTS["half"](report)
    assert figure is not None
    half, shown = report["test"]["operating_points"]["half"], _texts(figure)
    assert f"F3 {half['f3']['value']:.4f}" in shown
    assert f"F3 {half['f3_flag_everything']:.4f}, accuracy {report['test']['prevalence']:.4f}" in shown
    assert f"{report['test']['healthy']:,}\n100%" in shown


def test_negatives_end_at_half_with_the_counts_of_half(report: dict[str, Any]) -> None:
    figure = PLOTS["negatives"](report)
    assert figure is not None
    true_negatives, false_negatives = (line.get_xydata() for line in figure.axes[0].get_lines())
    counts = report["test"]["operating_points"]["half"]["confusion"]
    assert true_negatives[-1].tolist() == [0.5, counts["true_negatives"]]
    assert false_negatives[-1].tolist() == [0.5, counts["false_negatives"]]
    assert np.all(np.diff(true_negatives[:, 0]) <= 0)
    # More weight to unhealthy never predicts more films healthy.
    assert np.all(np.diff(true_negatives[:, 1]) > -1e-9)


def test_every_finding_has_its_matrix_and_its_curve_unless_no_film_carries_it(report: dict[str, Any]) -> None:
    matrices, curves = PLOTS["finding_confusion"](report), PLOTS["finding_roc"](report)
    assert matrices is not None
    assert curves is not None
    for found in report["multilabel"]["findings"]:
        assert found["finding"] in _texts(matrices)
        assert f"{found['true_negatives']:,}\n" in _texts(matrices)
    bare = report | {"curves": report["curves"] | {"findings": {"Mass": report["curves"]["findings"]["Mass"]}}}
    figure = PLOTS["finding_roc"](bare)
    assert figure is not None
    assert "no curve: Effusion, Hernia" in _texts(figure)


def test_second_hand_figures_and_the_untrained_head_are_told_from_the_confirmed_ones(report: dict[str, Any]) -> None:
    figure = PLOTS["findings"](report)
    assert figure is not None
    labels = {str(line.get_label()): line for line in figure.axes[0].get_lines()}
    places = [place.get_text() for place in figure.axes[0].get_yticklabels()]
    second_hand = np.asarray(labels["Wang, second-hand"].get_xdata(), dtype=np.float64)
    assert [value for value in second_hand.tolist() if not np.isnan(value)] == [0.767]
    assert "Hernia" in places[int(np.flatnonzero(~np.isnan(second_hand))[0])]
    assert "head before learning" in labels
    without = report | {"untrained": {"how": "not measured", "findings_auc": {}}}
    bare = PLOTS["findings"](without)
    assert bare is not None
    assert "head before learning" not in {str(line.get_label()) for line in bare.axes[0].get_lines()}


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
