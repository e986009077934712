"""The tables of ``docs/reports.md``, as lines of Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from training.reports.published import Grid, PublishedFigure, PublishedReport
from training.reports.recomputed.everything import recomputed
from training.reports.results import SPLITS, CollectedRun, Ours, Results, SplitKind, is_current
from training.reports.statement import Verdict

_NOT_RUN = "not run yet"
_COMMIT = 7
_COLUMNS = 4
_DECIMALS = 3
_SPLIT_NAMES: Mapping[SplitKind, str] = {"image": "ours, their split", "patient": "ours, by patient"}


def anchor(heading: str) -> str:
    """Return the name that GitHub gives a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def run_table(report: PublishedReport, results: Results) -> Iterator[str]:
    """Yield which runs of ours stand in the columns; what they learnt from belongs to every figure."""
    runs = [run for split in SPLITS if (run := results.run(report.recipe, split)) is not None]
    yield "**Our runs**"
    yield ""
    if not runs:
        yield f"{_NOT_RUN}: `make reports DATA=../shared/data` runs both and fills the columns."
        yield ""
        return
    columns = ("split", "presets", "train films", "test films (patients), unhealthy", "patients on both sides")
    yield f"| {' | '.join(columns)} | chosen | minutes of learning | date, commit |"
    yield "|---|---|---|---|---|---|---|---|"
    for run in runs:
        yield f"| {' | '.join(_run_cells(run))} |"
    yield ""
    starts = sorted({run.started_from for run in runs})
    yield f"From {' / '.join(starts)}; collected on {', '.join(sorted({run.machine for run in runs}))}."
    yield ""


def own_auc_row(report: PublishedReport, results: Results) -> str:
    """Return the row of a report's recipe as it was run here by patient, beside what the report's own point gives."""
    run = results.run(report.recipe, "patient")
    learnt = _NOT_RUN if run is None else f"{run.films['train']:,} labelled"
    shown = _shown(report, results, "patient", report.figure("auc"))
    return f"| {report.number}'s recipe here | {learnt} | yes | {shown} | pairs of test films |"


def number_table(report: PublishedReport, results: Results) -> Iterator[str]:
    """Yield the report's single numbers, one a row."""
    if not report.figures:
        return
    yield f"| number | theirs | how it was computed | trap | {' | '.join(_SPLIT_NAMES[split] for split in SPLITS)} |"
    yield "|---|---|---|---|---|---|"
    for figure in report.figures:
        ours = " | ".join(_shown(report, results, split, figure) for split in SPLITS)
        theirs = f"{figure.printed} ({figure.where})" if figure.where != "-" else figure.printed
        yield f"| {figure.name} | {theirs} | {figure.how} | {figure.trap} | {ours} |"
    yield ""


def grid_table(report: PublishedReport, grid: Grid, results: Results) -> Iterator[str]:
    """Yield a whole printed table, four columns at a time; a single column has ours beside it, with intervals."""
    table, columns = report.tables[grid.table], tuple(grid.paths)
    cells = {figure.key: figure for figure in report.cells(grid)}
    yield f"**{grid.name}** ({table.where}). {grid.how[0].upper()}{grid.how[1:]}. Trap: {grid.trap}."
    for start in range(0, len(columns), _COLUMNS):
        some = columns[start : start + _COLUMNS]
        heads = some if len(columns) > 1 else (f"{some[0]}, theirs", *(_SPLIT_NAMES[split] for split in SPLITS))
        yield ""
        yield f"| {table.columns[0]} | {' | '.join(heads)} |"
        yield "|---" * (1 + len(heads)) + "|"
        for row in table.names:
            figures = [cells[f"{grid.table}.{row}.{column}"] for column in some]
            if len(columns) > 1:
                shown = [_together(report, results, figure) for figure in figures]
            else:
                shown = [figures[0].printed, *(_shown(report, results, split, figures[0]) for split in SPLITS)]
            yield f"| {row} | {' | '.join(shown)} |"
    yield ""


def recomputed_table(report: PublishedReport) -> Iterator[str]:
    """Yield what was computed again from the report's own numbers, folded away."""
    statements = recomputed()[report.number]
    agree = sum(statement.verdict is Verdict.AGREES for statement in statements)
    contradict = sum(statement.verdict is Verdict.CONTRADICTS for statement in statements)
    yield f"<details><summary>Computed again: {agree} agree, {contradict} contradict</summary>"
    yield ""
    yield "| what | printed | computed | verdict | how |"
    yield "|---|---|---|---|---|"
    for each in statements:
        verdict = f"**{each.verdict}**" if each.verdict is Verdict.CONTRADICTS else str(each.verdict)
        yield f"| {each.about} | {each.printed} | {each.shown} | {verdict} | {each.how} |"
    yield ""
    yield "</details>"


def contradictions() -> Iterator[str]:
    """Yield every printed number that cannot be what the report's other numbers, or the official table, make it."""
    yield "| report | what | printed | computed | apart by | how |"
    yield "|---|---|---|---|---|---|"
    for number, statements in recomputed().items():
        for each in statements:
            if each.verdict is Verdict.CONTRADICTS:
                cells = (number, each.about, each.printed, each.shown, each.difference_shown, each.how)
                yield f"| {' | '.join(cells)} |"


def _run_cells(run: CollectedRun) -> tuple[str, ...]:
    tested = f"{run.tested:,} ({run.tested_patients:,}), {run.prevalence:.0%}"
    leaked = f"{run.shared_patients:,}" if run.patients_known else "patients unknown"
    commits = ", ".join(commit[:_COMMIT] + ("-dirty" if commit.endswith("-dirty") else "") for commit in run.commits)
    chosen = "1 run" if run.chosen is None else f"{run.chosen}, of {run.runs}"
    films = f"{run.films['train']:,}"
    return (
        run.split,
        ", ".join(run.presets),
        films,
        tested,
        leaked,
        chosen,
        f"{run.seconds / 60:.1f}",
        f"{run.date}, {commits}" + ("" if is_current(run) else "; **the recipe has changed since**"),
    )


def _together(report: PublishedReport, results: Results, figure: PublishedFigure) -> str:
    """Return theirs and both of ours in one cell; theirs alone where nothing of ours was collected."""
    if all(results.run(report.recipe, split) is None for split in SPLITS):
        return figure.printed
    ours = (_shown(report, results, split, figure, brief=True) for split in SPLITS)
    return " · ".join((figure.printed, *ours))


def _shown(
    report: PublishedReport, results: Results, split: SplitKind, figure: PublishedFigure, *, brief: bool = False
) -> str:
    if figure.file is None or figure.path is None:
        return "–"
    run = results.run(report.recipe, split)
    if run is None:
        return "–" if brief else _NOT_RUN
    ours = run.figures.get(figure.file, {}).get(figure.path)
    if ours is None:
        return "not collected"
    return _one(ours, figure, brief=brief)


def _one(ours: Ours, figure: PublishedFigure, *, brief: bool) -> str:
    """Return ours in the unit of theirs and, without an interval to say more, to as many digits."""
    if ours.value is None:
        return "–" if brief else str(ours.note)
    if isinstance(ours.value, str):
        return f"`{ours.value}`"
    if isinstance(ours.value, int):
        return f"{ours.value:,}"
    if "%" in figure.printed:
        scale, unit, decimals = 100, " %", 1
    else:
        scale, unit, decimals = 1, "", figure.decimals or max(_DECIMALS, len(figure.printed.partition(".")[2]))
    if brief or ours.low is None or ours.high is None:
        return f"{ours.value * scale:.{decimals}f}{unit}"
    decimals = min(decimals, _DECIMALS)
    value, low, high = (f"{each * scale:.{decimals}f}" for each in (ours.value, ours.low, ours.high))
    return f"{value}{unit} ({low} to {high})"
