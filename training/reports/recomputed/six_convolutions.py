"""Report 003: whole films behind its percentages, its odd row, its two positive classes, its impossible loss."""

from __future__ import annotations

import math
from collections.abc import Iterator

from training.reports.published import PrintedTable, PublishedReport
from training.reports.reference_points import binormal_auc
from training.reports.rounding import Interval, as_printed, counts_within, over
from training.reports.statement import Statement, Verdict, beside, compare
from training.statistics.intervals import exact_interval
from training.statistics.metrics import Confusion, f_beta_flag_everything

_BEST = "50"


def statements(report: PublishedReport) -> Iterator[Statement]:
    """Yield what follows from tables I, II and III."""
    tests, training = report.tables["table_3"], report.tables["table_2"]
    data = report.tables["data"]
    normal, abnormal = data.count("test normal", "films"), data.count("test abnormal", "films")
    yield from _sums(data)
    for epochs in tests.names:
        yield _accuracy(tests, epochs, normal, abnormal)
    for epochs in training.names:
        yield _whole_films(training, epochs, data.count("validation", "films"))
        yield from _least_loss(training, epochs)
    yield _running_means(training, data.count("train", "films"))
    yield from _positive_class(tests, normal, abnormal)
    yield from _certainty(tests, normal + abnormal)


def _sums(data: PrintedTable) -> Iterator[Statement]:
    for name, parts in (("classes", ("abnormal", "normal")), ("parts", ("train", "validation"))):
        total = sum(data.count(part, "films") for part in parts)
        yield compare(f"003.{name}", f"films, {' and '.join(parts)}", data.cell("all", "films"), total, how="their sum")


def _accuracy(tests: PrintedTable, epochs: str, normal: int, abnormal: int) -> Statement:
    """Return the accuracy that sensitivity and specificity give, as whole films of each class."""
    found, missed = (
        counts_within(as_printed(tests.cell(epochs, name)), of)
        for name, of in (("sensitivity", abnormal), ("specificity", normal))
    )
    assert len(found) == 1
    assert len(missed) == 1
    counted = Confusion(
        true_positives=found[0],
        false_negatives=abnormal - found[0],
        true_negatives=missed[0],
        false_positives=normal - missed[0],
    )
    assert counted.accuracy is not None
    return compare(
        f"003.accuracy_{epochs}_epochs",
        f"test accuracy after {epochs} epochs",
        tests.cell(epochs, "testing accuracy"),
        counted.accuracy,
        how=f"{found[0]} and {missed[0]} of {abnormal} films each are right, whichever class is positive",
    )


def _whole_films(training: PrintedTable, epochs: str, films: int) -> Statement:
    printed = training.cell(epochs, "validation accuracy")
    near = as_printed(printed)
    counts = counts_within(near, films) or (round(near.middle * films),)
    share = Interval(counts[0] / films, counts[-1] / films)
    return compare(
        f"003.validation_{epochs}_epochs",
        f"validation accuracy after {epochs} epochs as whole films",
        printed,
        share,
        how=f"{counts[0]} of {films} films, the nearest whole number",
    )


def _running_means(training: PrintedTable, films: int) -> Statement:
    column = "training accuracy"
    odd = [epochs for epochs in training.names if not counts_within(as_printed(training.cell(epochs, column)), films)]
    return beside(
        "003.running_means",
        f"training accuracies that no whole number of {films:,} films gives",
        "5 rows",
        len(odd),
        how=f"{', '.join(odd)} epochs; a running mean over batches, as some frameworks print it, would do so",
        decimals=0,
    )


def _least_loss(training: PrintedTable, epochs: str) -> Iterator[Statement]:
    """Yield the least cross-entropy that each accuracy allows.

    Of two softmax outputs the wrong one is the larger for a film called wrongly, so its own class has at most one half
    and costs at least ln 2; films called rightly cost at least nothing.
    """
    for part in ("training", "validation"):
        accuracy, printed = (training.cell(epochs, f"{part} {name}") for name in ("accuracy", "loss"))
        least = over(lambda share: (1 - share) * math.log(2), as_printed(accuracy)).low
        possible = Interval(least, math.inf)
        gap = as_printed(printed).distance(possible)
        yield Statement(
            key=f"003.loss_bound_{epochs}" if part == "validation" else f"003.{part}_loss_bound_{epochs}",
            about=f"least {part} loss after {epochs} epochs, given {accuracy}",
            printed=printed,
            computed=Interval(least, least),
            decimals=4,
            how=f"(1 - {accuracy}) x ln 2, if it is cross-entropy: a film called wrongly gave its class half at most",
            verdict=Verdict.CONTRADICTS if gap else Verdict.AGREES,
            difference=least - as_printed(printed).middle if gap else 0.0,
        )


def _positive_class(tests: PrintedTable, normal: int, abnormal: int) -> Iterator[Statement]:
    """Yield F3 of unhealthy films in both readings of 'positive'."""
    sensitivity, specificity = (
        counts_within(as_printed(tests.cell(_BEST, name)), normal)[0] for name in ("sensitivity", "specificity")
    )
    for key, reading, found, cleared in (
        ("f3_by_text", "the text: abnormal is positive", sensitivity, specificity),
        ("f3_by_table", "Table I: normal is positive", specificity, sensitivity),
    ):
        counted = Confusion(
            true_positives=found,
            false_negatives=abnormal - found,
            true_negatives=cleared,
            false_positives=normal - cleared,
        )
        assert counted.f3 is not None
        how = f"{found} of {abnormal} abnormal and {cleared} of {normal} normal films are right"
        yield beside(f"003.{key}", f"F3 after {_BEST} epochs, read by {reading}", "-", counted.f3, how=how)
    ends = [
        Interval(*bounds)
        for bounds in (exact_interval(sensitivity, abnormal), exact_interval(specificity, normal))
        if bounds
    ]
    yield beside(
        "003.binormal_auc",
        "AUC of an equal-variance binormal curve through the 50-epoch row",
        "-",
        over(binormal_auc, *ends),
        how="95 % intervals of sensitivity and specificity (Clopper-Pearson), both at their ends",
        decimals=3,
    )
    half = f_beta_flag_everything(abnormal / (abnormal + normal))
    yield beside("003.f3_everything", "F3 of flagging everything", "-", half, how="100 of 200 films abnormal")


def _certainty(tests: PrintedTable, films: int) -> Iterator[Statement]:
    best = as_printed(tests.cell(_BEST, "testing accuracy"))
    share = best.middle
    others = [epochs for epochs in tests.names if epochs != _BEST]
    bounds = {epochs: _interval(tests, epochs, films) for epochs in tests.names}
    yield beside(
        "003.interval_50",
        f"95 % interval of the accuracy after {_BEST} epochs",
        tests.cell(_BEST, "testing accuracy"),
        bounds[_BEST],
        how=f"Clopper-Pearson, {films} films",
        decimals=1,
        is_share=True,
    )
    held = [epochs for epochs in others if bounds[epochs].low <= share <= bounds[epochs].high]
    yield beside(
        "003.epochs_not_apart",
        f"other rows whose 95 % interval holds the accuracy after {_BEST} epochs",
        "-",
        len(held),
        how=f"Clopper-Pearson, {films} films: {', '.join(held)} epochs",
        decimals=0,
    )


def _interval(tests: PrintedTable, epochs: str, films: int) -> Interval:
    count = counts_within(as_printed(tests.cell(epochs, "testing accuracy")), films)[0]
    bounds = exact_interval(count, films)
    assert bounds is not None
    return Interval(*bounds)
