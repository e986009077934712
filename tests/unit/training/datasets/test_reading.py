"""The examples of the documentation are recipes that this version reads."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from tests.support.datasets import data_recipe
from training.datasets.reading import read_collection

PAGE = (Path(__file__).resolve().parents[4] / "docs" / "training.md").read_text()
EXAMPLES = [block for block in re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL) if block.startswith("[data]")]


@pytest.mark.parametrize("example", EXAMPLES)
def test_a_documented_data_section_is_a_recipe(example: str) -> None:
    assert data_recipe(**tomllib.loads(example)["data"]).reader in example


def test_the_documented_table_is_read_by_the_documented_columns(tmp_path: Path) -> None:
    (example,) = [example for example in EXAMPLES if '"csv"' in example]
    (rows,) = re.findall(r"```\n(file,label,.*?)```", PAGE, re.DOTALL)
    (tmp_path / "labels.csv").write_text(rows)
    (tmp_path / "a").mkdir()
    for name in ("0001", "0002"):
        (tmp_path / "a" / f"{name}.png").write_bytes(b"")
    first, second = read_collection(tmp_path, data_recipe(**tomllib.loads(example)["data"])).samples
    assert (first.patient, first.findings, first.official_part) == ("p17", ("Mass", "Nodule"), "train")
    assert (second.findings, second.age_years, second.sex, second.official_part) == ((), 61, "M", "test")


def test_every_reader_has_its_example() -> None:
    assert {word for example in EXAMPLES for word in re.findall(r'reader = "(\w+)"', example)} == {
        "csv",
        "folders",
        "medmnist",
        "dicom",
    }
