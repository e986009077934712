"""Report 000: what its five learning rates and its confusion matrices amount to."""

from __future__ import annotations

from collections.abc import Iterator

from training.reports.official_table import official_table
from training.reports.published import PrintedTable, PublishedReport
from training.reports.reference_points import ConstantPredictor, constant_predictor
from training.reports.rounding import Interval, as_printed, over
from training.reports.statement import Statement, beside, compare, contradiction
from training.statistics.metrics import Confusion

_LABELS = 14
_BATCH = 32
_TABLE_SHARES = "shares of the whole table, answered for every film of it"


def statements(report: PublishedReport) -> Iterator[Statement]:
    """Yield what follows from figure 1, the test figures and the counts of section VI."""
    table = official_table()
    constant = constant_predictor(tuple(table.findings.values()), table.films)
    yield from _films(report)
    yield from _constant(report, constant)
    yield from _learning_rates(report.tables["figure_1"], constant)
    yield from _calls(report)


def _films(report: PublishedReport) -> Iterator[Statement]:
    parts, rates = report.tables["parts"], report.tables["figure_1"]
    films = [parts.count(part, "films") for part in parts.names]
    yield compare("000.films", "films", f"{official_table().films:,}", sum(films), how="sum of ChestMNIST's parts")
    yield compare(
        "000.validation_batches",
        "batches of the validation part",
        rates.cell("0.0001", "batches"),
        -(-parts.count("validation", "films") // _BATCH),
        how=f"{parts.cell('validation', 'films')} films in batches of {_BATCH}",
    )
    wrong = over(lambda accuracy: (1 - accuracy) * _LABELS, as_printed(rates.cell("0.0001", "binary accuracy")))
    yield beside(
        "000.findings_a_film",
        "findings a validation film has, if accuracy .9492 is that of never flagging",
        f"{official_table().labels / official_table().films:.3f} in the whole table",
        wrong,
        how="(1 - accuracy) x 14",
        decimals=3,
    )


def _constant(report: PublishedReport, constant: ConstantPredictor) -> Iterator[Statement]:
    # Equal scores for everything would have .5, as the report says; never flagging alone does not make them equal.
    yield beside(
        "000.constant_auc",
        "flattened AUC of answering each label's share, which never flags either",
        f"{report.tables['told'].cell('AUC of always choosing negative', 'printed')} (section V)",
        constant.flattened_auc,
        how=_TABLE_SHARES,
        decimals=3,
    )
    for key, about, value in (
        ("constant_keras_auc", "the same with Keras' 200 thresholds", constant.keras_auc),
        ("constant_accuracy", "binary accuracy of never flagging", constant.binary_accuracy),
        ("constant_loss", "loss of a predictor that knows only shares", constant.loss),
    ):
        yield beside(f"000.{key}", about, "-", value, how=_TABLE_SHARES, decimals=4)


def _learning_rates(rates: PrintedTable, constant: ConstantPredictor) -> Iterator[Statement]:
    worse = [rate for rate in rates.names if as_printed(rates.cell(rate, "loss")).low > constant.loss]
    below = [rate for rate in worse if as_printed(rates.cell(rate, "auc")).high < constant.flattened_auc]
    yield beside(
        "000.rates_above_constant_loss",
        "learning rates whose loss is above that of knowing only shares",
        "5 runs",
        len(worse),
        how="figure 1: " + ", ".join(f"{rate} ({rates.cell(rate, 'loss')})" for rate in worse),
        decimals=0,
    )
    yield beside(
        "000.rates_below_constant_auc",
        "of these, learning rates whose AUC is below it too",
        "5 runs",
        len(below),
        how="figure 1: " + ", ".join(f"{rate} ({rates.cell(rate, 'auc')})" for rate in below),
        decimals=0,
    )


def _calls(report: PublishedReport) -> Iterator[Statement]:
    matrices, films = report.tables["matrices"], report.tables["parts"].count("test", "films")
    hits = {finding: matrices.count(finding, "true positives") for finding in matrices.names}
    needless = {finding: matrices.count(finding, "false positives") for finding in matrices.names}
    right, wrong = sum(hits.values()), sum(needless.values())
    yield beside(
        "000.test_calls", "findings called on the test part", "-", right + wrong, how=matrices.where, decimals=0
    )
    yield beside("000.test_true_positives", "of these, rightly", "-", right, how=matrices.where, decimals=0)
    yield contradiction(
        "000.most_true_positives",
        "true positives of the best class (prose: 'around 1,000 true positives' in most)",
        report.tables["told"].cell("true positives of most classes", "printed"),
        max(hits.values()),
        how="the next two paragraphs of the report; the thousand can only be false negatives",
    )
    yield beside(
        "000.test_accuracy_gain",
        "what all calls add to the accuracy of never flagging",
        report.figure("test_accuracy").printed,
        (right - wrong) / (films * _LABELS),
        how=f"(right - wrong calls) / ({films:,} x {_LABELS})",
        decimals=5,
    )
    yield from _effusion(hits["Effusion"], needless["Effusion"], films)


def _effusion(hits: int, needless: int, films: int) -> Iterator[Statement]:
    table = official_table()
    # The test part's own number of effusions is in a picture; shares of a part of this size stray by a few per cent.
    carriers = round(films * table.findings["Effusion"] / table.films)
    counted = Confusion(
        true_negatives=films - carriers - needless,
        false_positives=needless,
        false_negatives=carriers - hits,
        true_positives=hits,
    )
    assert counted.sensitivity is not None
    assert counted.ppv is not None
    near = Interval(counted.sensitivity * 0.9, counted.sensitivity * 1.1)
    how = f"{hits} of about {carriers:,} effusions, the whole table's share of the test films, give or take a tenth"
    yield beside("000.effusion_recall", "recall of effusion", "-", near, how=how, decimals=1, is_share=True)
    yield beside(
        "000.effusion_precision",
        "precision of effusion",
        "-",
        counted.ppv,
        how=f"{hits} of {hits} + {needless} calls",
        decimals=1,
        is_share=True,
    )
