"""Report 004: its row counts against the table, its widths against each other, and what its sigmoids mean."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from training.reports.official_table import OfficialTable, official_table
from training.reports.published import PrintedTable, PublishedReport
from training.reports.reference_points import leaked_share
from training.reports.statement import Statement, beside, compare, contradiction

_BYTES_OF_FLOAT32 = 4
_RESNET50_PARAMETERS = 25_557_032
_TRAIN = 0.70
_SEX_ONE_HOT, _AGE = 2, 1


def statements(report: PublishedReport) -> Iterator[Statement]:
    """Yield what follows from sections III to V."""
    told, table = report.tables["told"], official_table()
    yield from _rows(told, table)
    yield from _widths(told, table)
    yield from _probabilities(table)
    above, comparable, diseases = (
        told.count(name, "printed") for name in ("above Wang", "comparable to Wang", "diseases")
    )
    yield beside(
        "004.findings_below_wang",
        "diseases left that are below Wang 2017",
        "-",
        diseases - above - comparable,
        how="14 - 9 - 3",
        decimals=0,
    )
    yield beside(
        "004.leaked_share",
        "test films whose patient is in train too, where films are dealt at random",
        "-",
        leaked_share(table.films_of_patients, _TRAIN),
        how="expected over the whole table's patients, 70 % of the films in train",
        decimals=0,
        is_share=True,
    )


def _rows(told: PrintedTable, table: OfficialTable) -> Iterator[Statement]:
    for name, found in (
        ("films", table.films),
        ("patients", table.patients),
        ("male", table.sexes["M"]),
        ("female", table.sexes["F"]),
        ("No Finding", table.no_finding),
    ):
        key = name.lower().replace(" ", "_")
        yield compare(f"004.{key}", name, told.cell(name, "printed"), found, how=f"counted in {table.table}")
    both = told.count("male", "printed") + told.count("female", "printed")
    yield compare("004.both_sexes", "films of both sexes", told.cell("films", "printed"), both, how="63,340 + 48,780")
    yield beside(
        "004.oldest_years",
        "oldest patient",
        f"{told.cell('oldest age', 'printed')} in the table of 2017",
        table.oldest_years,
        how=f"counted in {table.table}, where 14 rows above 123 cannot be found",
        decimals=0,
    )


def _widths(told: PrintedTable, table: OfficialTable) -> Iterator[Statement]:
    inputs = told.count("inputs", "printed")
    yield contradiction(
        "004.first_layer",
        "inputs of the first layer ('2048 to 128')",
        told.cell("first layer", "printed"),
        inputs,
        how="'a total dimension of 2050', 'files with 2050 columns of features'",
    )
    yield contradiction(
        "004.one_hot_inputs",
        "inputs with a one-hot sex of two columns and an age",
        told.cell("inputs", "printed"),
        told.count("features", "printed") + _SEX_ONE_HOT + _AGE,
        how="2,048 features, two columns of sex, one of age",
    )
    widths = (inputs, *(told.count(f"width of the {name} layer", "printed") for name in ("first", "second")))
    widths = (*widths, told.count("diseases", "printed"))
    parameters = sum(before * after + after for before, after in pairwise(widths))
    numbers = (table.films - told.count("rows above 123 years", "printed")) * (inputs + widths[-1])
    for key, about, name, value, how in (
        (
            "head_mb",
            "MB of the three layers",
            "MB of the three layers",
            parameters * _BYTES_OF_FLOAT32 / 1e6,
            "float32",
        ),
        ("resnet_mb", "MB of ResNet50", "MB of ResNet50", _RESNET50_PARAMETERS * _BYTES_OF_FLOAT32 / 1e6, "float32"),
        (
            "text_bytes",
            "bytes a number of the text files takes",
            "GB of features as text",
            told.count("GB of features as text", "printed") * 1e9 / numbers,
            "4 GB over 112,106 rows of 2,064 numbers",
        ),
    ):
        yield beside(f"004.{key}", about, f"{told.cell(name, 'printed')} {name[:2]}", value, how=how, decimals=1)


def _probabilities(table: OfficialTable) -> Iterator[Statement]:
    # Weights of 1 / share and 1 / (1 - share) make both classes weigh the same: the odds are divided by those of the
    # share, so a weighted .5 stands for the share itself.
    for key, finding in (("hernia_at_half", "Hernia"), ("infiltration_at_half", "Infiltration")):
        yield beside(
            f"004.{key}",
            f"probability of {finding.lower()} where a frequency-weighted sigmoid says .5",
            "0.5",
            table.findings[finding] / table.films,
            how="classes weighted to equal mass: the odds are those of the share",
            decimals=1,
            is_share=True,
        )
