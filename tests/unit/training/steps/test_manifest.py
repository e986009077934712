"""What the first step records of the films that it lists."""

from __future__ import annotations

import csv
import json
from pathlib import Path

from tests.support.datasets import write_collection, write_table
from tests.support.training_runs import context_of, printed, tiny_recipe
from training.datasets.sample import read_samples
from training.steps import manifest


def test_rows_of_the_oldest_are_counted_and_no_remark_says_where_the_films_lie(tmp_path: Path) -> None:
    data = write_collection(tmp_path / "data", patients=24, pixels=32)
    (table,) = data.glob("*.csv")
    with table.open(newline="") as file:
        header, *rows = csv.reader(file)
    rows[0][4], rows[-1][4], rows[5][4] = "414", "155Y", "122"
    write_table(table, rows, header)
    context = context_of(tmp_path / "run", tiny_recipe(data={"oldest_years": 123}), data)
    manifest.run(context, context.run.root)
    assert len(read_samples(context.run.root / context.run.listed.name)) == 46
    provenance = json.loads((context.run.root / context.run.provenance.name).read_text())
    assert provenance["rows_too_old"] == 2
    assert sum(part["films"] for part in provenance["parts"].values()) == 46
    assert f"{table} line 2: 414" in printed(context)
    too_old, impossible = provenance["remarks"]
    assert too_old.endswith(f"data.oldest_years (123): {table.name} line 2: 414, {table.name} line 49: 155Y")
    assert impossible.endswith(f"{table.name} line 7: 122")
