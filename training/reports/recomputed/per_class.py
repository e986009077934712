"""Report 001's appendix: the whole counts behind its per-class table, and which films and threshold they mean."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

from scipy.stats import chisquare

from training.datasets.nih import FINDINGS
from training.reports.official_table import official_table
from training.reports.published import PrintedTable, PublishedReport
from training.reports.rounding import Interval, as_printed, counts_within, over
from training.reports.statement import Statement, beside, compare

_LABELS = 14
_BATCH = 32
_BEST = "11"


def statements(report: PublishedReport) -> Iterator[Statement]:
    """Yield averages from the classes, and the films that were scored."""
    classes, averages = report.tables["per_class"], report.tables["averages"]
    supports = {name: classes.count(name, "support") for name in classes.names}
    total = sum(supports.values())
    yield compare("001.support", "positives", averages.cell("micro avg", "support"), total, how="sum of the classes")
    yield from _classes(classes)
    yield from _averages(classes, averages, supports)
    right, called = _totals(classes)
    yield from _micro(averages, right, called, total)
    yield from _films(report, right, called, total)
    yield _sample(supports)
    yield from _prose(report)


def possible_counts(classes: PrintedTable, name: str) -> list[tuple[int, int]]:
    """Return every (true positives, calls) of a class that prints the way its row does; at least one does."""
    support = classes.count(name, "support")
    precision, recall, f1 = (as_printed(classes.cell(name, column)) for column in ("precision", "recall", "f1-score"))
    found = []
    for right in counts_within(recall, support):
        if not right:
            # scikit-learn prints 0 for a class that is never called, or never rightly; how often is not to be known.
            return [(0, 0)]
        calls = range(right, int(right / precision.low) + 1)
        found += [
            (right, called)
            for called in calls
            if precision.meets(Interval(right / called, right / called))
            and f1.meets(Interval(2 * right / (called + support), 2 * right / (called + support)))
        ]
    return found


def _classes(classes: PrintedTable) -> Iterator[Statement]:
    for name in classes.names:
        counts = possible_counts(classes, name)
        if counts == [(0, 0)]:
            continue
        support = classes.count(name, "support")
        f1s = [2 * right / (called + support) for right, called in counts]
        yield compare(
            f"001.f1_{name.lower().replace(' ', '_')}",
            f"F1 of {name.lower()}",
            classes.cell(name, "f1-score"),
            Interval(min(f1s), max(f1s)),
            how=f"whole counts of {support} films that print this precision and recall too: {len(counts)}",
        )


def _averages(classes: PrintedTable, averages: PrintedTable, supports: dict[str, int]) -> Iterator[Statement]:
    total = sum(supports.values())
    for column, (row, weights) in product(
        ("precision", "recall", "f1-score"),
        (
            ("macro avg", dict.fromkeys(supports, 1 / _LABELS)),
            ("weighted avg", {name: support / total for name, support in supports.items()}),
        ),
    ):
        cells = {name: as_printed(classes.cell(name, column)) for name in supports}
        # A printed 0.00 is a class without hits; half a step below it is no precision.
        low = sum(weights[name] * max(0.0, cell.low) for name, cell in cells.items())
        high = sum(weights[name] * cell.high for name, cell in cells.items() if cell.low > 0)
        yield compare(
            f"001.{row.split()[0]}_{column.replace('-score', '')}",
            f"{row.split()[0]} average of {column}",
            averages.cell(row, column),
            Interval(low, high),
            how="from the classes' printed values",
        )


def _totals(classes: PrintedTable) -> tuple[Interval, Interval]:
    """Return the possible sums of true positives and of calls over all classes."""
    counts = [possible_counts(classes, name) for name in classes.names]

    def summed(part: int) -> Interval:
        values = [[pair[part] for pair in pairs] for pairs in counts]
        return Interval(sum(map(min, values)), sum(map(max, values)))

    return summed(0), summed(1)


def _micro(averages: PrintedTable, right: Interval, called: Interval, total: int) -> Iterator[Statement]:
    how = f"{right.low:.0f} to {right.high:.0f} true positives in {called.low:.0f} to {called.high:.0f} calls"
    for column, found in (
        ("precision", over(lambda hits, calls: hits / calls, right, called)),
        ("recall", over(lambda hits: hits / total, right)),
        ("f1-score", over(lambda hits, calls: 2 * hits / (calls + total), right, called)),
    ):
        key = column.replace("-score", "")
        yield compare(
            f"001.micro_{key}", f"micro average of {column}", averages.cell("micro avg", column), found, how=how
        )


def _films(report: PublishedReport, right: Interval, called: Interval, total: int) -> Iterator[Statement]:
    summary, averages = report.tables["figure_3"], report.tables["averages"]
    recall, precision = (as_printed(averages.cell("micro avg", column)) for column in ("recall", "precision"))
    # The averages narrow the sums down further than the classes alone.
    right = right.intersection(Interval(recall.low * total, recall.high * total))
    called = called.intersection(over(lambda hits, share: hits / share, right, precision))
    wrong = over(lambda hits, calls: total - 2 * hits + calls, right, called)
    accuracy = as_printed(summary.cell(_BEST, "Testing Binary Acc"))
    films = over(lambda cells, share: cells / ((1 - share) * _LABELS), wrong, accuracy)
    multiples = [count for count in range(_BATCH, int(films.high) + 1, _BATCH) if count >= films.low]
    yield beside(
        "001.films_scored",
        "films behind the appendix's counts, if its accuracy is the printed one of experiment 11",
        f"{report.tables['data'].cell('test', 'printed')} test films in the text",
        films,
        how="(1,611 - 2 TP + calls) / (14 x (1 - .8907)), TP and calls from the per-class table",
        decimals=0,
    )
    assert len(multiples) == 1
    scored = multiples[0]
    yield beside(
        "001.films_scored_multiple", "multiples of 32 among these", "-", scored, how="batches of 32", decimals=0
    )
    # The number of films was solved from this accuracy: that it comes out again shows no more than a whole solution.
    yield beside(
        "001.accuracy_of_appendix",
        f"binary accuracy of the appendix's counts on {scored:,} films",
        summary.cell(_BEST, "Testing Binary Acc"),
        over(lambda cells: 1 - cells / (scored * _LABELS), wrong),
        how="1 - (1,611 - 2 TP + calls) / (1,024 x 14)",
        decimals=5,
    )
    yield from _findings_a_film(summary, total, scored)


def _findings_a_film(summary: PrintedTable, total: int, scored: int) -> Iterator[Statement]:
    table = official_table()
    for key, about, value in (
        ("labels_per_film", f"findings a film on {scored:,} films", total / scored),
        ("labels_per_film_with_findings", "findings a film, films with findings", table.labels / table.with_findings),
        ("labels_per_film_all", "findings a film, all films", table.labels / table.films),
    ):
        yield beside(f"001.{key}", about, "-", value, how="1,611 positives; official table", decimals=2)
    never = 1 - total / (scored * _LABELS)
    how = "1 - 1,611 / (1,024 x 14); beside it experiment 1's training accuracy"
    printed = summary.cell("1", "Training Binary Acc")
    yield beside("001.all_negative_scored", f"accuracy of never flagging, {scored:,} films", printed, never, how=how)


def _prose(report: PublishedReport) -> Iterator[Statement]:
    """Yield what the prose says of single classes, which is at .2 where the table is not."""
    classes, prose = report.tables["per_class"], report.tables["prose"]
    recall = as_printed(classes.cell("Atelectasis", "recall"))
    best = max((as_printed(classes.cell(name, "f1-score")) for name in classes.names), key=lambda cell: cell.high)
    for key, about, name, found in (
        ("recall_of_atelectasis", "recall of atelectasis, prose against appendix", "recall of atelectasis", recall),
        ("best_f1", "best F1 of a class, prose against appendix", "best F1 of a class", best),
    ):
        how = "per-class table of the same network, whose threshold is not named and cannot be the prose's .2"
        yield compare(f"001.{key}", about, prose.cell(name, "printed"), found, how=how)


def _sample(supports: dict[str, int]) -> Statement:
    table, total = official_table(), sum(supports.values())
    found = {name.replace(" ", "_"): support for name, support in supports.items()}
    expected = [total * table.findings[finding] / table.labels for finding in FINDINGS]
    chance = float(chisquare([found[finding] for finding in FINDINGS], expected).pvalue)
    return beside(
        "001.support_shares",
        "chance of class shares so far from the table's, were the scored films a random sample",
        "-",
        chance,
        how="chi-squared over 14 classes, findings taken as independent",
        decimals=2,
    )
