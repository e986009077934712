"""Report 002: its confusion matrices, its parts, and what its epochs of training were worth."""

from __future__ import annotations

from collections.abc import Iterator

from training.datasets.nih import FINDINGS
from training.reports.official_table import official_table
from training.reports.published import PrintedTable, PublishedReport
from training.reports.reference_points import binormal_auc, leaked_share
from training.reports.rounding import Interval, as_printed, over
from training.reports.statement import Statement, beside, compare, contradiction
from training.statistics.intervals import exact_interval
from training.statistics.metrics import Confusion

_ACTUAL, _CLEARED, _FLAGGED = ("healthy", "unhealthy"), "predicted healthy", "predicted unhealthy"


def statements(report: PublishedReport) -> Iterator[Statement]:
    """Yield what follows from figures 2, 8 and 9, and what stands beside them."""
    network, everything = (_confusion(report.tables[name]) for name in ("figure_8", "figure_9"))
    yield from _parts(report.tables["parts"])
    yield from _matrix("8", network, report)
    yield from _matrix("9", everything, report)
    yield from _worth(network)
    yield from _training(report)
    yield contradiction(
        "002.finding_labels",
        "labels that make a film unhealthy (section I: eight diseases; section III: nine)",
        report.tables["told"].cell("diseases, section III", "printed"),
        len(FINDINGS),
        how="labels of the official table",
    )
    parts = report.tables["parts"]
    train = parts.count("Training", "total") / parts.count("Total", "total")
    yield beside(
        "002.leaked_share",
        "test films whose patient is in train too, where films are dealt at random",
        "-",
        leaked_share(official_table().films_of_patients, train),
        how=f"expected over the whole table's patients, {train:.0%} of the films in train",
        decimals=0,
        is_share=True,
    )


def _confusion(table: PrintedTable) -> Confusion:
    healthy, unhealthy = _ACTUAL
    return Confusion(
        true_negatives=table.count(healthy, _CLEARED),
        false_positives=table.count(healthy, _FLAGGED),
        false_negatives=table.count(unhealthy, _CLEARED),
        true_positives=table.count(unhealthy, _FLAGGED),
    )


def _parts(parts: PrintedTable) -> Iterator[Statement]:
    groups = parts.names[:-1]
    for column in ("healthy", "unhealthy", "total"):
        total = sum(parts.count(part, column) for part in groups)
        yield compare(f"002.{column}", f"{column} films", parts.cell("Total", column), total, how="sum of the parts")
    for part in groups:
        both = parts.count(part, "healthy") + parts.count(part, "unhealthy")
        key = part.lower()
        yield compare(f"002.{key}_films", f"{part.lower()} films", parts.cell(part, "total"), both, how="both classes")
        share = both / parts.count("Total", "total")
        yield compare(f"002.{key}_share", f"{part.lower()} share", parts.cell(part, "share"), share, how="of the total")
    table = official_table()
    for column, found in (("healthy", table.no_finding), ("unhealthy", table.with_findings), ("total", table.films)):
        printed = parts.cell("Total", column)
        yield compare(f"002.table_{column}", f"{column} films, against the table", printed, found, how="official table")


def _matrix(number: str, counted: Confusion, report: PublishedReport) -> Iterator[Statement]:
    told, parts, how = report.tables["told"], report.tables["parts"], f"figure {number}"
    assert counted.accuracy is not None
    assert counted.f3 is not None
    healthy = counted.true_negatives + counted.false_positives
    for key, about, printed, found in (
        ("f3", "F3", told.cell(f"f3 of figure {number}", "printed"), counted.f3),
        ("accuracy", "accuracy", told.cell(f"accuracy of figure {number}", "printed"), counted.accuracy),
        ("films", "test films", told.cell("test films, figure 10", "printed"), counted.films),
        ("healthy", "healthy test films", parts.cell("Testing", "healthy"), healthy),
        ("unhealthy", "unhealthy test films", parts.cell("Testing", "unhealthy"), counted.films - healthy),
    ):
        yield compare(f"002.figure_{number}_{key}", f"{about} of figure {number}", printed, found, how=how)


def _worth(counted: Confusion) -> Iterator[Statement]:
    for key, about, value, decimals in (
        ("sensitivity", "sensitivity", counted.sensitivity, 4),
        ("specificity", "specificity", counted.specificity, 4),
        ("f3_everything", "F3 of flagging everything, from figure 8", counted.f3_flag_everything, 4),
        ("skill", "F3 skill", counted.f3_skill, 2),
    ):
        assert value is not None
        yield beside(f"002.{key}", about, "-", value, how="figure 8", decimals=decimals)
    assert counted.npv is not None
    yield beside(
        "002.npv",
        "films called healthy that are",
        "-",
        counted.npv,
        how="figure 8: TN / (TN + FN)",
        decimals=1,
        is_share=True,
    )
    yield beside(
        "002.binormal_auc",
        "AUC of an equal-variance binormal curve through figure 8",
        "-",
        over(binormal_auc, *(Interval(*bounds) for bounds in _bounds(counted))),
        how="95 % intervals of sensitivity and specificity (Clopper-Pearson), both at their ends",
        decimals=3,
    )
    yield from _trade(counted)


def _trade(counted: Confusion) -> Iterator[Statement]:
    cleared = counted.true_negatives / counted.false_negatives
    yield beside(
        "002.cleared_per_missed", "healthy films cleared for each one missed", "-", cleared, how="TN / FN", decimals=1
    )
    needed = 8 + counted.films / (counted.true_positives + counted.false_negatives)
    yield beside(
        "002.needed_cleared",
        "the same at which F3 is just that of flagging everything",
        "-",
        needed,
        how="8 + 1 / prevalence (ML.md A5)",
        decimals=1,
    )


def _bounds(counted: Confusion) -> Iterator[tuple[float, float]]:
    unhealthy = counted.true_positives + counted.false_negatives
    for count, of in ((counted.true_positives, unhealthy), (counted.true_negatives, counted.films - unhealthy)):
        bounds = exact_interval(count, of)
        assert bounds is not None
        yield bounds


def _training(report: PublishedReport) -> Iterator[Statement]:
    parts, told = report.tables["parts"], report.tables["told"]
    healthy = {part: parts.count(part, "healthy") / parts.count(part, "total") for part in ("Training", "Validation")}
    before, after = (told.cell(f"head accuracy {when}", "printed") for when in ("before", "after"))
    for part, key in (("Training", "train"), ("Validation", "validation")):
        yield beside(
            f"002.always_healthy_{key}",
            f"accuracy of calling every film healthy, {key} part",
            f"{before} to {after}",
            healthy[part],
            how="figure 2",
        )
    shares = Interval(min(healthy.values()), max(healthy.values()))
    gain = over(lambda accuracy, share: (accuracy - share) * 100, as_printed(after), shares)
    yield beside(
        "002.head_gain", "points of accuracy above that after 500 epochs", after, gain, how="figure 2", decimals=1
    )
