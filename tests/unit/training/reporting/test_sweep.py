"""A sweep's tables and plot say the same, whatever was varied and whoever failed."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest

from training.reporting.plots.sweep import draw_sweep
from training.reporting.sweep import csv_table, forget_tables, markdown_table, write_tables


def figure(value: float) -> dict[str, Any]:
    return {"value": value, "low": value - 0.1, "high": value + 0.1, "note": None}


def section(level: float) -> dict[str, Any]:
    averages = {name: {"precision": level, "recall": level, "f1": level} for name in ("micro", "macro")}
    whole = {"flattened_auc": 0.72, "keras_auc": 0.71, "binary_accuracy": 0.95, "loss": 0.2}
    return {
        **dict.fromkeys(("flattened_auc", "keras_auc", "macro_auc", "binary_accuracy", "loss"), level),
        "binary_accuracy_at_threshold": level,
        "threshold": 0.2,
        "averages": averages,
        "prevalence_only": whole,
    }


def a_run(name: str, changes: dict[str, Any], level: float = 0.6, *, findings: bool = True) -> dict[str, Any]:
    return {
        "name": name,
        "set": changes,
        "architecture": "convolutional",
        "class_weights": "none",
        "parameters": 1234,
        "seconds": 5.0,
        "train": {"loss": level, "accuracy": level},
        "select": {"auc": level, "findings_auc": level, "loss": level, "accuracy": level, "recall": level, "epoch": 3},
        "test": {
            "films": 20,
            "auc": figure(level),
            "multilabel": section(level) if findings else None,
            "half": {name: figure(level) for name in ("accuracy", "sensitivity", "specificity")},
            "normal_as_positive": {"sensitivity": 1 - level, "specificity": level},
        },
        "error": None,
    }


def failed(name: str, changes: dict[str, Any]) -> dict[str, Any]:
    nothing = dict.fromkeys(("parameters", "seconds", "train", "select", "test"))
    return {**a_run(name, changes), **nothing, "error": "stage 1: the loss of epoch 1 is nan"}


def document(*runs: dict[str, Any], **changes: Any) -> dict[str, Any]:
    whole = {
        "recipe": "swept",
        "recipe_sha256": "0",
        "split": "patient",
        "choose": "loss",
        "chosen": runs[0]["name"] if runs else None,
        "published": True,
        "not_published_because": None,
        "runs": list(runs),
    }
    return whole | changes


RATES = document(*(a_run(f"rate={rate}", {"scratch.0.learning_rate": rate}, rate) for rate in (0.001, 0.1, 0.01)))
EPOCHS = document(*(a_run(f"epochs={n}", {"scratch.0.epochs": n}, n / 60, findings=False) for n in (10, 20, 50)))
GRID = document(
    *(
        a_run(f"{rate},{decay}", {"head.learning_rate": rate, "head.weight_decay": decay}, rate + decay)
        for rate in (0.1, 0.3)
        for decay in (0.01, 0.02)
    )
)
EXPERIMENTS = document(
    a_run("one", {}),
    failed("two", {"scratch.0.batch_size": 64}),
    a_run("three", {"network.filters": [8, 16]}, 0.7),
    published=False,
    not_published_because="patients leak",
    split="image",
)


def axes_of(swept: dict[str, Any]) -> list[Any]:
    drawn = draw_sweep(swept)
    assert drawn is not None
    return list(drawn.axes)


def test_one_varied_number_becomes_lines_in_its_order_with_the_constant_predictor_beside_them() -> None:
    loss, _, test = axes_of(RATES)
    assert test.get_xscale() == "log"
    assert [line.get_label() for line in loss.lines[:3]] == ["train", "select", "test"]
    assert loss.lines[0].get_xdata().tolist() == [0.001, 0.01, 0.1]
    assert loss.lines[0].get_ydata().tolist() == [0.001, 0.01, 0.1]
    (line,) = [line for line in test.lines if "prevalence only" in str(line.get_label())]
    assert list(line.get_ydata()) == [0.72, 0.72]


def test_a_loss_weighted_by_class_has_no_test_loss_beside_it() -> None:
    weighted = document(*(run | {"class_weights": "balanced"} for run in RATES["runs"]))
    assert "test" not in [line.get_label() for line in axes_of(weighted)[0].lines]


def test_the_two_way_question_shows_accuracy_and_both_ratios() -> None:
    *_, test = axes_of(EPOCHS)
    assert [line.get_label() for line in test.lines[:4]] == [
        "test AUC",
        "test accuracy at .5",
        "sensitivity",
        "specificity",
    ]
    assert test.get_xscale() == "linear"


def test_two_varied_numbers_become_a_map_of_what_chooses() -> None:
    panel = axes_of(GRID)[0]
    assert sorted(text.get_text() for text in panel.texts) == ["0.1100", "0.1200", "0.3100", "0.3200"]
    assert (panel.get_xlabel(), panel.get_ylabel()) == ("weight decay", "learning rate")
    assert len(panel.patches) == 1


def test_experiments_of_any_kind_become_rows_and_failed_ones_are_named() -> None:
    drawn = draw_sweep(EXPERIMENTS)
    assert drawn is not None
    (panel,) = drawn.axes
    assert [label.get_text() for label in panel.get_yticklabels()] == ["▸ one", "three"]
    assert "failed: two" in drawn.get_supxlabel()
    assert "patients leak between parts" in drawn.get_supxlabel()


def test_nothing_is_drawn_of_nothing() -> None:
    assert draw_sweep(document(failed("one", {}), chosen=None)) is None


def test_the_table_has_a_row_a_run_the_constant_predictor_and_every_reason() -> None:
    text = markdown_table(EXPERIMENTS)
    assert "| **one** | 1,234 | 5 | 3 | 0.6000 |" in text
    assert "| two | – | – | – | – |" in text
    assert "| prevalence only | – |" in text
    assert "two failed: stage 1: the loss of epoch 1 is nan" in text
    assert "Published: no (patients leak)." in text
    assert "at 0.2" in text


def test_the_table_of_the_two_way_question_names_the_positive_class() -> None:
    text = markdown_table(EPOCHS)
    assert "sensitivity, unhealthy positive | specificity, unhealthy positive | sensitivity, normal positive" in text
    assert "prevalence only" not in text
    assert "Published: yes." in text


def test_the_csv_file_holds_what_each_run_set() -> None:
    first, second, _ = csv.DictReader(io.StringIO(csv_table(EXPERIMENTS)))
    assert (first["chosen"], first["AUC, flattened"], first["f1, macro"]) == ("1", "0.6", "0.6")
    assert json.loads(second["set"]) == {"scratch.0.batch_size": 64}
    assert (second["AUC, flattened"], second["error"]) == ("", "stage 1: the loss of epoch 1 is nan")


@pytest.mark.parametrize("swept", [RATES, EPOCHS, GRID, EXPERIMENTS, document(failed("one", {}), chosen=None)])
def test_files_are_written_and_forgotten_together(tmp_path: Path, swept: dict[str, Any]) -> None:
    write_tables(swept, tmp_path)
    assert json.loads((tmp_path / "sweep.json").read_text()) == swept
    has_plot = any(run["test"] for run in swept["runs"])
    expected = {"sweep.json", "sweep.csv", "sweep.md"} | ({"sweep.png"} if has_plot else set())
    assert {path.name for path in tmp_path.iterdir()} == expected
    forget_tables(tmp_path)
    assert not list(tmp_path.iterdir())


def test_the_table_of_an_image_split_warns_of_shared_patients() -> None:
    runs = (a_run("first", {"seed": 1}), a_run("second", {"seed": 2}))
    assert "Split by image: patients lie in several parts" in markdown_table(document(*runs, split="image"))
    assert "Split by image" not in markdown_table(document(*runs))
