"""Report 001: which films were scored, at which threshold, and what the shares of findings alone are worth."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import mean

from training.reports.official_table import OfficialTable, official_table
from training.reports.published import PrintedTable, PublishedReport
from training.reports.recomputed import per_class
from training.reports.reference_points import constant_predictor, leaked_share
from training.reports.rounding import Interval, as_printed, over
from training.reports.statement import Statement, beside, compare, contradiction

_LABELS = 14
_BATCH = 32
_TRAIN = 0.72
_THRESHOLD = 0.2
_NEAR = 0.03


def statements(report: PublishedReport) -> Iterator[Statement]:
    """Yield what follows from the text, figure 3 and the appendix."""
    table = official_table()
    yield from _data(report.tables["data"], table)
    yield from _f1(report.tables["figure_3"])
    yield from _differences(report)
    yield from _prose_against_figure_3(report)
    yield from per_class.statements(report)
    yield from _constant(report.tables["figure_3"], table)
    yield from _never_flagging(report.tables["figure_3"], table)
    yield beside(
        "001.leaked_share",
        "test films whose patient is in train too, where films are dealt at random",
        "-",
        leaked_share(table.films_with_findings_of_patients, _TRAIN),
        how="expected over the patients of films with findings, 72 % of the films in train",
        decimals=0,
        is_share=True,
    )


def _data(data: PrintedTable, table: OfficialTable) -> Iterator[Statement]:
    films, validation = data.count("films", "printed"), data.count("validation", "printed")
    both = data.count("train and validation", "printed")
    for key, name, found, how in (
        ("films", "films", table.films, "official table"),
        ("patients", "patients", table.patients, "official table"),
        ("train_and_validation", "train and validation", round(films * 0.8), "80 % of the films"),
        ("test", "test", films - both, "the rest"),
        ("validation", "validation", round(both * 0.1), "10 % of these"),
        ("train", "train", both - validation, "the rest of these"),
        ("hernia", "hernia films", table.findings["Hernia"], "official table"),
        *(
            (each.lower(), each, table.findings[each] / table.films, "official table")
            for each in ("Infiltration", "Effusion", "Atelectasis")
        ),
    ):
        yield compare(f"001.{key}", name, data.cell(name, "printed"), found, how=how)
    yield from _films_described(data, table)
    yield from _batches(data, table)


def _films_described(data: PrintedTable, table: OfficialTable) -> Iterator[Statement]:
    """Yield what the text says of its films where the whole table has another number, or another word."""
    for key, about, found, of in (
        ("male", "male", table.sexes["M"] / table.films, "all films"),
        (
            "male_with_findings",
            "male",
            table.sexes_with_findings["M"] / table.with_findings,
            "films with findings, which round to the printed share",
        ),
        ("no_finding", "films without finding", table.no_finding / table.films, "all films"),
    ):
        printed = data.cell(about, "printed")
        how = f"official table, {of}"
        yield beside(f"001.{key}", about, printed, found, how=how, decimals=1, is_share=True)


def _batches(data: PrintedTable, table: OfficialTable) -> Iterator[Statement]:
    printed, train = data.cell("batches of a whole pass", "printed"), data.count("train", "printed")
    unhealthy = round(round(table.with_findings * 0.8) * 0.9)
    yield contradiction(
        "001.batches_of_all",
        f"batches of {_BATCH} in one pass over the {train:,} train films of the text",
        printed,
        train // _BATCH,
        how="whole batches; of 64 films 1,261",
    )
    yield compare(
        "001.batches_of_unhealthy",
        f"batches of {_BATCH} in one pass over 72 % of the films with findings",
        printed,
        unhealthy // _BATCH,
        how=f"{table.with_findings:,} films with findings x .8 x .9 = {unhealthy:,}, whole batches",
    )


def _f1(summary: PrintedTable) -> Iterator[Statement]:
    for row in summary.names:
        parts = (as_printed(summary.cell(row, f"{name} - Micro")) for name in ("Precision", "Recall"))
        yield compare(
            f"001.f1_micro_{row}",
            f"micro F1 of experiment {row}",
            summary.cell(row, "F1 Score - Micro"),
            over(lambda precision, recall: 2 * precision * recall / (precision + recall), *parts),
            how="2 P R / (P + R) of the printed micro precision and recall",
        )


def _differences(report: PublishedReport) -> Iterator[Statement]:
    """Yield the points that one experiment is said to be ahead of another."""
    summary, prose = report.tables["figure_3"], report.tables["prose"]
    for name, column, first, second in (
        ("AUC of dropout, points lost", "AUC", "1", "5"),
        ("F1 of dropout, points lost", "F1 Score - Micro", "1", "5"),
        ("recall of dropout, points won", "Recall - Micro", "5", "1"),
        ("AUC of more filters, points lost", "AUC", "1", "6"),
        ("F1 of more filters, points lost", "F1 Score - Micro", "1", "6"),
        ("recall of more filters, points won", "Recall - Micro", "6", "1"),
        ("AUC of DenseNet121 before the next", "AUC", "10", "1"),
        ("AUC of 40 epochs, points won", "AUC", "11", "10"),
        ("recall of 40 epochs, points won", "Recall - Micro", "11", "10"),
        ("F1 of 40 epochs, points won", "F1 Score - Micro", "11", "10"),
    ):
        larger, smaller = (as_printed(summary.cell(row, column)) for row in (first, second))
        key = name.lower().replace(",", "").replace(" ", "_")
        gap = over(lambda high, low: high - low, larger, smaller)
        yield compare(f"001.{key}", name, prose.cell(name, "printed"), gap, how="figure 3")


def _prose_against_figure_3(report: PublishedReport) -> Iterator[Statement]:
    summary, prose = report.tables["figure_3"], report.tables["prose"]
    yield beside(
        "001.mobilenet_layers",
        "layers of MobileNet",
        prose.cell("layers of MobileNet", "printed"),
        int(summary.cell("9", "# of Layers").split()[0]),
        how="figure 3; 28 counts depthwise and pointwise convolutions apart",
        decimals=0,
    )
    stopped = [row for row in summary.names if summary.cell(row, "Early Stop Metric") != "None"]
    yield contradiction(
        "001.early_stopping",
        "experiments with early stopping",
        "2 ('all subsequent models were run for 20 epochs with no early stopping')",
        len(stopped),
        how="figure 3 names a metric for every one",
        stands_for=2,
    )
    best = [
        row for row in summary.names if summary.cell(row, "F1 Score - Micro") == summary.cell("10", "F1 Score - Micro")
    ]
    yield beside(
        "001.highest_f1",
        "of the first ten, experiments with the F1 that is called 'the highest at 42%'",
        "1",
        len(best),
        how=f"figure 3: experiments {' and '.join(best)}, equal as far as they are printed",
        decimals=0,
    )


def _constant(summary: PrintedTable, table: OfficialTable) -> Iterator[Statement]:
    """Yield what a predictor that knows only the shares of films with findings is worth at .2."""
    constant = constant_predictor(tuple(table.findings.values()), table.with_findings, _THRESHOLD)
    how = "shares among films with findings, answered for every film of them, called at .2"
    micro, macro = constant.averages["micro"], constant.averages["macro"]
    for key, about, value, row, column, decimals in (
        ("constant_precision", "micro precision", micro["precision"], "6", "Precision - Micro", 3),
        ("constant_recall", "micro recall", micro["recall"], "6", "Recall - Micro", 3),
        ("constant_f1", "micro F1", micro["f1"], "6", "F1 Score - Micro", 3),
        ("constant_macro_recall", "macro recall", macro["recall"], "1", "Recall - Macro", 3),
        ("constant_macro_f1", "macro F1", macro["f1"], "9", "F1 Score - Macro", 3),
        ("constant_auc", "flattened AUC", constant.flattened_auc, "11", "AUC", 4),
        ("constant_loss", "loss", constant.loss, "9", "Training Loss", 4),
    ):
        printed, about = f"{summary.cell(row, column)} (experiment {row})", f"{about} of knowing only shares"
        yield beside(f"001.{key}", about, printed, value, how=how, decimals=decimals)
    yield _experiments(
        "experiments_below_constant_auc",
        "experiments whose AUC is below the flattened one of knowing only shares",
        [row for row in summary.names if as_printed(summary.cell(row, "AUC")).high < constant.flattened_auc],
    )
    around = Interval(micro["f1"] - _NEAR, micro["f1"] + _NEAR)
    yield _experiments(
        "experiments_near_constant",
        f"experiments whose micro F1 is within {_NEAR} of that of knowing only shares",
        [row for row in summary.names if as_printed(summary.cell(row, "F1 Score - Micro")).meets(around)],
    )


def _experiments(key: str, about: str, rows: Sequence[str]) -> Statement:
    how = f"experiments {', '.join(rows)}"
    return beside(f"001.{key}", about, "11 experiments", len(rows), how=how, decimals=0)


def _never_flagging(summary: PrintedTable, table: OfficialTable) -> Iterator[Statement]:
    tested = mean(as_printed(summary.cell(row, "Testing Binary Acc")).middle for row in summary.names)
    trained = sorted(summary.cell(row, "Training Binary Acc") for row in summary.names)
    for key, about, printed, films in (
        ("accuracy", "films with findings", f"{tested:.4f} on average in the test (figure 3)", table.with_findings),
        ("all", "all films", f"{trained[0]} to {trained[-1]} in training (figure 3)", table.films),
    ):
        yield beside(
            f"001.all_negative_{key}",
            f"binary accuracy of never flagging, {about}",
            printed,
            1 - table.labels / (films * _LABELS),
            how="1 - findings / (films x 14), official table",
        )
