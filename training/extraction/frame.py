"""The table of films as a Spark DataFrame: what report 004 read from ``Data_Entry_2017.csv``, with the run's parts.

Each row says which film is to be read, and whatever of it goes into the table of features unchanged.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812 - as all of Spark's documentation has it

from model.demographics import OLDEST_YEARS
from training.datasets.inputs import age_sex_of
from training.datasets.labels import Table
from training.datasets.nih import NO_FINDING, find_nih_table, nih_columns
from training.datasets.tables import open_table
from training.recipe import DataRecipe

# What follows the film into the table of features: age / 100, sex 1 male and 0 female, null unknown.
CARRIED = pa.schema(
    {
        "row": pa.int32(),
        "image": pa.string(),
        "patient": pa.string(),
        "part": pa.string(),
        "age": pa.float32(),
        "sex": pa.float32(),
        "unhealthy": pa.int8(),
        "findings": pa.list_(pa.string()),
        "labels": pa.list_(pa.int8()),
        "is_mirrored": pa.bool_(),
    }
)
# Hadoop reads these in the path of a table as patterns.
_GLOB: Final = re.compile(r"[\\*?\[\]{}]")


def films_frame(
    session: SparkSession,
    data: Path,
    recipe: DataRecipe,
    labels: tuple[str, ...],
    table: Table,
    mirrored: NDArray[np.bool_],
) -> DataFrame:
    """Return one row a film of ``table``: the columns of ``CARRIED``, ``path`` below ``data``, and ``frame``.

    ChestX-ray14 is read by Spark from the official table itself, without rows above ``data.oldest_years``, and joined
    with the parts of the run; of every other form of collection the run's samples are the table. ``labels`` holds a 0
    or 1 for each of the recipe's findings.
    """
    dealt = session.createDataFrame(_dealt(table, mirrored))
    facts = _official_facts(session, data, recipe) if recipe.reader == "nih" else _listed_facts(session, table)
    carried = [F.array_contains("findings", label).cast("byte") for label in labels]
    joined = dealt.join(facts, "image").withColumns(
        {
            "unhealthy": (F.size("findings") > 0).cast("byte"),
            "labels": F.array(*carried).cast("array<tinyint>"),
        }
    )
    return joined.select(*CARRIED.names, "path", "frame")


def file_uri(path: Path) -> str:
    """Return how Spark is told of a file on this machine's disks, whatever its default file system is.

    Hadoop takes the characters of a path as they are; ``Path.as_uri`` would escape blanks.
    """
    return f"file://{path.resolve()}"


def _dealt(table: Table, mirrored: NDArray[np.bool_]) -> pa.Table:
    samples = [sample for sample, _ in table]
    return pa.table(
        {
            "row": pa.array(range(len(table)), pa.int32()),
            "image": pa.array([sample.id for sample in samples], pa.string()),
            "path": pa.array([sample.path.as_posix() for sample in samples], pa.string()),
            "frame": pa.array([sample.frame for sample in samples], pa.int32()),
            "part": pa.array([part.value for _, part in table], pa.string()),
            "is_mirrored": pa.array(mirrored, pa.bool_()),
        }
    )


def _listed_facts(session: SparkSession, table: Table) -> DataFrame:
    samples = [sample for sample, _ in table]
    age, sex = age_sex_of(table).T
    facts = {
        "image": pa.array([sample.id for sample in samples], pa.string()),
        "patient": pa.array([sample.patient for sample in samples], pa.string()),
        "findings": pa.array([sample.findings for sample in samples], pa.list_(pa.string())),
        "age": pa.array(age, pa.float32(), from_pandas=True),
        "sex": pa.array(sex, pa.float32(), from_pandas=True),
    }
    return session.createDataFrame(pa.table(facts))


def _official_facts(session: SparkSession, data: Path, recipe: DataRecipe) -> DataFrame:
    path = find_nih_table(data)
    with open_table(path) as reader:
        header = list(reader.fieldnames or [])
    named = {key: F.trim(F.col(f"c{header.index(name)}")) for key, name in nih_columns(path).items()}
    # Told the columns, Spark need not run a job to look for them, which would wait for an executor without end.
    schema = ", ".join(f"c{number} string" for number in range(len(header)))
    read = session.read.csv(_GLOB.sub(r"\\\g<0>", file_uri(path)), schema=schema, header=True, quote='"', escape='"')
    cells = read.select(
        *(named[key].alias(key) for key in ("image", "patient", "findings")),
        _years(named["age"]).alias("years"),
        _sex(named["sex"]).alias("sex"),
    )
    if recipe.oldest_years is not None:
        cells = cells.filter(F.col("years").isNull() | (F.col("years") <= recipe.oldest_years))
    age = F.when(F.col("years") <= OLDEST_YEARS, F.col("years") / 100).cast("float")
    findings = F.filter(F.split("findings", r"\|"), lambda label: label != NO_FINDING)
    return cells.withColumns({"age": age, "findings": findings}).drop("years")


def _years(cell: Column) -> Column:
    """Read ``58``, ``058Y`` and ``58.0``, as ``tables.read_age`` does; null where there is no such number."""
    return F.regexp_extract(F.upper(cell), r"^0*(\d{1,4})(?:\.0*)?Y?$", 1).try_cast("int")


def _sex(cell: Column) -> Column:
    said = F.upper(cell)
    number = F.when(said.isin("M", "MALE"), 1).when(said.isin("F", "FEMALE"), 0)
    return number.cast("float")
