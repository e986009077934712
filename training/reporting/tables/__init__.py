"""The report's tables as rows of text, for the page and the card alike: neither can print a figure that differs."""

from training.reporting.tables.cells import Table
from training.reporting.tables.comparisons import baselines, findings, prevalences, subgroups, variants
from training.reporting.tables.forms import markdown
from training.reporting.tables.multilabel import per_class, together, write_per_class
from training.reporting.tables.points import (
    certificates,
    costs,
    disputed,
    exact_ratios,
    f3_figures,
    positive_classes,
    promises,
    ratios,
)

__all__ = [
    "Table",
    "baselines",
    "certificates",
    "costs",
    "disputed",
    "exact_ratios",
    "f3_figures",
    "findings",
    "markdown",
    "per_class",
    "positive_classes",
    "prevalences",
    "promises",
    "ratios",
    "subgroups",
    "together",
    "variants",
    "write_per_class",
]
