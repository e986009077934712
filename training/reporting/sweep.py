"""The tables and the plot of a sweep: one row a run, train, select and test beside each other.

All four files are made from one document, so that none can show another figure. Knows no network and no films.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from training.errors import RunError
from training.reporting.plots.style import save
from training.reporting.plots.sweep import draw_sweep
from training.reporting.tables.cells import NONE, Document, number

JSON_FILE, CSV_FILE, MARKDOWN_FILE, PLOT_FILE = "sweep.json", "sweep.csv", "sweep.md", "sweep.png"
_FILES = (JSON_FILE, CSV_FILE, MARKDOWN_FILE, PLOT_FILE)

_BETWEEN: Final = ("micro", "macro")
_ALWAYS: Final[Mapping[str, tuple[str, ...]]] = {
    "epoch": ("select", "epoch"),
    "train loss": ("train", "loss"),
    "train accuracy": ("train", "accuracy"),
    "select loss": ("select", "loss"),
    "select accuracy": ("select", "accuracy"),
    "select AUC of any": ("select", "auc"),
    "select mean AUC": ("select", "findings_auc"),
    "select recall": ("select", "recall"),
    "test AUC of any": ("test", "auc", "value"),
}
_TWO_WAY: Final[Mapping[str, tuple[str, ...]]] = {
    "test accuracy at .5": ("test", "half", "accuracy", "value"),
    "sensitivity, unhealthy positive": ("test", "half", "sensitivity", "value"),
    "specificity, unhealthy positive": ("test", "half", "specificity", "value"),
    "sensitivity, normal positive": ("test", "normal_as_positive", "sensitivity"),
    "specificity, normal positive": ("test", "normal_as_positive", "specificity"),
}
_FINDINGS: Final[Mapping[str, tuple[str, ...]]] = {
    "test loss, unweighted": ("test", "multilabel", "loss"),
    "test accuracy at .5": ("test", "multilabel", "binary_accuracy"),
    "test accuracy at threshold": ("test", "multilabel", "binary_accuracy_at_threshold"),
    "AUC, flattened": ("test", "multilabel", "flattened_auc"),
    "AUC, Keras": ("test", "multilabel", "keras_auc"),
    "AUC, mean of findings": ("test", "multilabel", "macro_auc"),
    **{
        f"{ratio}, {average}": ("test", "multilabel", "averages", average, ratio)
        for ratio in ("precision", "recall", "f1")
        for average in _BETWEEN
    },
}


def forget_tables(folder: Path) -> None:
    """Remove the tables and the plot of an earlier sweep."""
    for name in _FILES:
        (folder / name).unlink(missing_ok=True)


def write_tables(document: Document, folder: Path) -> None:
    """Write ``sweep.csv``, ``sweep.md``, ``sweep.png`` and, last, ``sweep.json`` into ``folder``, each of them whole.

    Raises
    ------
    RunError
        If the folder cannot be written.
    """
    figure = draw_sweep(document)
    if figure is not None:
        _written(folder / PLOT_FILE, lambda path: save(figure, path))
    _written(folder / CSV_FILE, lambda path: path.write_text(csv_table(document), encoding="utf-8"))
    _written(folder / MARKDOWN_FILE, lambda path: path.write_text(markdown_table(document), encoding="utf-8"))
    text = json.dumps(document, indent=2) + "\n"
    _written(folder / JSON_FILE, lambda path: path.write_text(text, encoding="utf-8"))


def csv_table(document: Document) -> str:
    """Return one line a run with every figure that any run has; what a run set is JSON in one cell."""
    columns = _columns(document)
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["run", "chosen", "set", "architecture", "parameters", "seconds", *columns, "error"])
    for run in document["runs"]:
        facts = (run["architecture"], run["parameters"], run["seconds"])
        cells = (_cell(run, path) for path in columns.values())
        is_chosen = int(run["name"] == document["chosen"])
        writer.writerow([run["name"], is_chosen, json.dumps(run["set"]), *facts, *cells, run["error"]])
    return file.getvalue()


def markdown_table(document: Document) -> str:
    """Return the table for people, with what chose, what was published, and what a figure that looks good is worth."""
    columns = _columns(document)
    head = ["run", "parameters", "seconds", *columns]
    rows = [[*_named(run, document), *(number(_cell(run, path), _form(name)) for name, path in columns.items())]
            for run in document["runs"]]  # fmt: skip
    rows += _prevalence_only(document, columns)
    lines = [f"# {document['recipe']}: {len(document['runs'])} runs", ""]
    lines += ["| " + " | ".join(row) + " |" for row in (head, ["---"] * len(head), *rows)]
    return "\n".join([*lines, "", *_notes(document)]) + "\n"


def _named(run: Document, document: Document) -> list[str]:
    name = f"**{run['name']}**" if run["name"] == document["chosen"] else run["name"]
    return [name, number(run["parameters"], ",d"), number(run["seconds"], ".0f")]


def _notes(document: Document) -> list[str]:
    how = "least" if document["choose"] == "loss" else "most"
    notes = [
        f"Chosen: {document['chosen'] or 'none'}, with the {how} {document['choose']} on select films; "
        f"test films chose nothing. Published: {'yes' if document['published'] else 'no'}"
        + (f" ({document['not_published_because']})." if document["not_published_because"] else "."),
        "Train and select figures are those of the kept epoch; train figures are means over an epoch while it learnt, "
        "dropout included. Seconds count learning and its validation alone.",
    ]
    if document["split"] == "image":
        notes.append("Split by image: patients lie in several parts, so that figures of select and test films flatter.")
    sections = [run["test"]["multilabel"] for run in document["runs"] if run["test"]]
    if any(sections):
        thresholds = sorted({section["threshold"] for section in sections if section})
        shown = ", ".join(f"{threshold:g}" for threshold in thresholds)
        notes.append(
            f"Precision, recall, F1 and 'test accuracy at threshold' are at {shown}. A flattened AUC ranks all pairs "
            f"of film and finding in one list: the row 'prevalence only' knows nothing but how common each finding is."
        )
    notes += [f"{run['name']} failed: {run['error']}" for run in document["runs"] if run["error"]]
    return [line for note in notes for line in (note, "")][:-1]


def _prevalence_only(document: Document, columns: Mapping[str, tuple[str, ...]]) -> list[list[str]]:
    """Return the row of the predictor that answers each finding's share, where runs answer findings."""
    sections = [run["test"]["multilabel"] for run in document["runs"] if run["test"] and run["test"]["multilabel"]]
    if not sections:
        return []
    known: dict[tuple[str, ...], float | None] = {
        ("test", "multilabel", figure): value for figure, value in sections[0]["prevalence_only"].items()
    }
    cells = (number(known.get(path), _form(name)) for name, path in columns.items())
    return [["prevalence only", NONE, NONE, *cells]]


def _columns(document: Document) -> dict[str, tuple[str, ...]]:
    """Return the columns that some run has a figure for: those of findings, or of the two-way question."""
    runs = [run for run in document["runs"] if run["test"]]
    answers_findings = any(run["test"]["multilabel"] for run in runs)
    columns = {**_ALWAYS, **(_FINDINGS if answers_findings else _TWO_WAY)}
    return {name: path for name, path in columns.items() if any(_cell(run, path) is not None for run in runs)}


def _cell(run: Document, path: tuple[str, ...]) -> Any:
    found: Any = run
    for part in path:
        if found is None:
            return None
        found = found[part]
    return found


def _form(column: str) -> str:
    return "d" if column == "epoch" else ".4f"


def _written(path: Path, write: Callable[[Path], object]) -> None:
    partial = path.with_name(f".{path.name}.partial")
    try:
        write(partial)
        partial.replace(path)
    except OSError as error:
        raise RunError(f"cannot write {path} ({error.strerror})") from error
