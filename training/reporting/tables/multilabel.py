"""Tables of all findings together: what the network gets beside a constant predictor, and every class's ratios.

The per-class table is also written as files, in the form of scikit-learn's report that report 001's appendix prints.
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

from training.reporting.tables.cells import NONE, Document, Table, number
from training.reporting.tables.forms import markdown

_COLUMNS = ("precision", "recall", "f1", "support", "auc")
_COUNTS = ("true_negatives", "false_positives", "false_negatives", "true_positives")


def together(section: Document) -> Table:
    """Return AUC, accuracy and loss over all findings, beside what knowing only each finding's share gets."""
    known = section["prevalence_only"]
    of = f" (mean of {section['macro_auc_findings']})"
    chance = NONE if section["macro_auc"] is None else f"{0.5:.3f}"
    return Table(
        caption=f"All findings of {section['films']:,} test films; positive: {section['positive_class']}",
        head=("scored by", "AUC, flattened", "AUC as Keras", f"AUC, macro{of}", "accuracy at .5", "cross-entropy"),
        rows=(
            (
                "network",
                *(number(section[name], ".4f") for name in ("flattened_auc", "keras_auc", "macro_auc")),
                number(section["binary_accuracy"], ".4f"),
                number(section["loss"], ".4f"),
            ),
            (
                "each finding's share of train films",
                *(number(known[name], ".4f") for name in ("flattened_auc", "keras_auc")),
                chance,
                number(known["binary_accuracy"], ".4f"),
                number(known["loss"], ".4f"),
            ),
            ("nothing is ever there", NONE, NONE, NONE, number(section["all_negative_accuracy"], ".4f"), NONE),
        ),
    )


def per_class(section: Document) -> Table:
    """Return precision, recall, F1, support, AUC and counts of every finding, then the four averages."""
    rows = [tuple(_cell(name, value) for name, value in row.items()) for row in _per_class_rows(section)]
    return Table(
        caption=f"Findings called at {section['threshold']:g} or above; positive: {section['positive_class']}",
        head=("finding", "precision", "recall", "F1", "support", "AUC", "TN", "FP", "FN", "TP"),
        rows=tuple(rows),
    )


def write_per_class(section: Document, folder: Path) -> None:
    """Write ``per_class.csv``, every number in full, and ``per_class.md``, as people read it."""
    rows = _per_class_rows(section)
    with (folder / "per_class.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows({name: "" if value is None else value for name, value in row.items()} for row in rows)
    (folder / "per_class.md").write_text(markdown(per_class(section)), encoding="utf-8")


def _per_class_rows(section: Document) -> list[dict[str, Any]]:
    rows = [{name: found[name] for name in ("finding", *_COLUMNS, *_COUNTS)} for found in section["findings"]]
    for name, average in section["averages"].items():
        auc = {"micro": section["flattened_auc"], "macro": section["macro_auc"]}.get(name)
        rows.append({"finding": f"{name} avg", **average, "auc": auc, **dict.fromkeys(_COUNTS)})
    return rows


def _cell(name: str, value: Any) -> str:
    if name == "finding":
        return str(value).replace("_", " ")
    if value is None:
        return NONE
    return f"{value:,}" if isinstance(value, int) else f"{value:.3f}"
