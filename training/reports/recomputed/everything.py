"""All statements of all reports, and texts that quote them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from functools import cache

from training.errors import RecipeError
from training.reports.published import PublishedReport, read_published
from training.reports.recomputed import (
    chestmnist_cnn,
    eleven_experiments,
    healthy_unhealthy,
    six_convolutions,
    spark_features,
)
from training.reports.statement import Statement

_QUOTED = re.compile(r"\{([a-z0-9_]+)\}")
_BY_NUMBER: Mapping[str, Callable[[PublishedReport], Iterable[Statement]]] = {
    "000": chestmnist_cnn.statements,
    "001": eleven_experiments.statements,
    "002": healthy_unhealthy.statements,
    "003": six_convolutions.statements,
    "004": spark_features.statements,
}


@cache
def recomputed() -> Mapping[str, tuple[Statement, ...]]:
    """Return the statements of each report, by its number."""
    return {report.number: tuple(_BY_NUMBER[report.number](report)) for report in read_published()}


def quoting(text: str, report: PublishedReport) -> str:
    """Return a text of a report's file with ``{key}`` replaced by what that statement computed.

    Raises
    ------
    RecipeError
        If it quotes a statement that is not there.
    """
    shown = {statement.key.partition(".")[2]: statement.shown for statement in recomputed()[report.number]}

    def replaced(match: re.Match[str]) -> str:
        if match[1] not in shown:
            raise RecipeError(f"{report.number}.toml quotes '{match[1]}', which nothing computes")
        return shown[match[1]]

    return _QUOTED.sub(replaced, text)
