"""What the five reports printed: read from ``published/*.toml``, every number as it stands there.

Tables are data, so that ``recomputed`` can start from them; figures name the place in our own ``report.json`` or
``sweep.json`` where the same thing is found. No number is typed anywhere else.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError, model_validator

from training.errors import RecipeError
from training.recipe.section import Section

File = Literal["report", "sweep"]

_FOLDER = Path(__file__).parent / "published"


class PrintedTable(Section):
    """A table of a report, cell for cell; the first column names the row."""

    where: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    @model_validator(mode="after")
    def _is_rectangular(self) -> PrintedTable:
        odd = [row[0] for row in self.rows if len(row) != len(self.columns)]
        if odd:
            raise ValueError(f"rows of another length than the {len(self.columns)} columns: {', '.join(odd)}")
        return self

    @property
    def names(self) -> tuple[str, ...]:
        """The rows' names."""
        return tuple(row[0] for row in self.rows)

    def cell(self, row: str, column: str) -> str:
        """Return one cell as printed; ``KeyError`` names a row that is not there."""
        return dict(zip(self.names, self.rows, strict=True))[row][self.columns.index(column)]

    def count(self, row: str, column: str) -> int:
        """Return a cell that holds a whole number."""
        return int(self.cell(row, column).replace(",", ""))


class Trap(Section):
    """What misleads in a report; ``{key}`` in the text stands for what a statement computed."""

    name: str
    text: str


class PublishedFigure(Section):
    """One printed number, and where ours of the same kind is.

    ``path`` is a dotted path into ``file``; without, the number is recomputed or told, never trained for. ``decimals``
    says how finely ours is shown where no number is printed that would say so.
    """

    key: str
    name: str
    printed: str
    where: str
    how: str
    trap: str
    file: File | None = None
    path: str | None = None
    decimals: int | None = None

    @model_validator(mode="after")
    def _has_file_and_path(self) -> PublishedFigure:
        if (self.file is None) != (self.path is None):
            raise ValueError("file and path belong together")
        return self


class Grid(Section):
    """A whole printed table that is reproduced cell by cell.

    ``paths`` maps a column to the path of ours, in which ``{row}`` stands for the row's name, or for what ``rows``
    calls it.
    """

    table: str
    name: str
    how: str
    trap: str
    file: File
    paths: dict[str, str]
    rows: dict[str, str] = Field(default_factory=dict)


class PublishedReport(Section):
    """One report: its numbers in a sentence, what its system was, how ours is run, what misleads, and its numbers."""

    number: str
    recipe: str
    source: str
    title: str
    authors: str
    in_short: str
    reproduces: str
    system: str
    data: str
    split: str
    comparable: str
    quick: tuple[str, ...]
    full_data: tuple[str, ...]
    traps: tuple[Trap, ...]
    figures: tuple[PublishedFigure, ...] = ()
    grids: tuple[Grid, ...] = ()
    tables: dict[str, PrintedTable] = Field(default_factory=dict)

    def figure(self, key: str) -> PublishedFigure:
        """Return a single figure by its key."""
        return next(figure for figure in self.figures if figure.key == key)

    def cells(self, grid: Grid) -> Iterator[PublishedFigure]:
        """Yield the figures that a grid stands for, row by row."""
        table = self.tables[grid.table]
        for row in table.names:
            for column, path in grid.paths.items():
                yield PublishedFigure(
                    key=f"{grid.table}.{row}.{column}",
                    name=f"{row}, {column}",
                    printed=table.cell(row, column),
                    where=table.where,
                    how=grid.how,
                    trap=grid.trap,
                    file=grid.file,
                    path=path.replace("{row}", grid.rows.get(row, row)),
                )

    def all_figures(self) -> tuple[PublishedFigure, ...]:
        """Return the single figures and those of every grid."""
        return (*self.figures, *(figure for grid in self.grids for figure in self.cells(grid)))


@cache
def read_published() -> tuple[PublishedReport, ...]:
    """Return the five reports in order.

    Raises
    ------
    RecipeError
        If one of the packaged files is not what this module expects; the message names file and key.
    """
    return tuple(_read(path) for path in sorted(_FOLDER.glob("*.toml")))


def published(number: str) -> PublishedReport:
    """Return one report by its number, ``"002"``."""
    return next(report for report in read_published() if report.number == number)


def _read(path: Path) -> PublishedReport:
    try:
        return PublishedReport.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"{path.name} is not TOML: {error}") from error
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise RecipeError(f"{path.name}: {'.'.join(str(part) for part in first['loc'])}: {first['msg']}") from error
