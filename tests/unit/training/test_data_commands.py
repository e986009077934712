"""``cxr-train data check`` tells what must be mended (exit 1) from what should be known (exit 0)."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from tests.support.datasets import row, write_collection, write_table
from tests.support.films import png_film
from training.data_commands import data_app
from training.datasets.nih import TABLE_NAMES
from training.errors import DatasetError, RecipeError, RunError

TABLE = TABLE_NAMES[0]
RECIPE = """
seed = 1
[bundle]
name = "x"
version = "1.0.0"
training_data = "drawings"
licence = "none"
[data]
train = 0.4
select = 0.2
calibrate = 0.2
test = 0.2
[preprocessing]
size = 32
[network]
hidden = 8
dropout = 0
[head]
epochs = 1
batch_size = 8
optimiser = "sgd"
learning_rate = 0.1
[[finetune]]
learns = "whole"
epochs = 1
batch_size = 8
optimiser = "sgd"
learning_rate = 0.1
[[scratch]]
learns = "whole"
epochs = 1
batch_size = 8
optimiser = "sgd"
learning_rate = 0.1
"""


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_collection(tmp_path_factory.mktemp("drawn"), patients=24, pixels=64)


@pytest.fixture
def data(drawn: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(drawn, tmp_path / "data"))


def check(directory: Path, *options: str) -> tuple[int, str, dict[str, Any]]:
    """Run the command; return exit code, what it printed and what it wrote."""
    target = directory.parent / "check.json"
    result = CliRunner().invoke(data_app, ["check", str(directory), "--json", str(target), *options])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.output, json.loads(target.read_text())


def kinds(notices: list[dict[str, Any]]) -> dict[str, list[str]]:
    return {notice["kind"]: notice["places"] for notice in notices}


def rows_of(directory: Path) -> list[list[str]]:
    with (directory / TABLE).open(newline="") as file:
        return list(csv.reader(file))[1:]


def test_a_sound_collection_is_counted_and_exits_0(data: Path) -> None:
    code, said, report = check(data)
    assert code == 0
    assert "nothing must be fixed" in said
    assert report["must_fix"] == []
    assert report["counts"]["all"]["films"] == {"films": 48, "patients": 24, "unhealthy": 24}
    assert report["counts"]["view"]["AP"]["patients"] == 8
    assert report["counts"]["label"]["Mass"] == {"films": 24, "patients": 12, "unhealthy": 24}
    assert report["counts"]["age"] == {"40-59": {"films": 48, "patients": 24, "unhealthy": 24}}
    assert report["pixels"]["films_read"] == 48
    assert "sha256" in report["pixels"]["method"]


def test_unreadable_and_missing_films_are_named_and_exit_1(data: Path) -> None:
    (data / "images" / "00000003_000.png").write_bytes(b"\x89PNG\r\n\x1a\nno")
    (data / "images" / "00000004_000.png").unlink()
    code, said, report = check(data)
    assert code == 1
    assert "MUST FIX" in said
    found = kinds(report["must_fix"])
    assert found["missing_film"] == ["00000004_000.png"]
    (unreadable,) = found["unreadable"]
    assert "00000003_000.png" in unreadable
    assert report["pixels"]["unreadable"] == 1


def test_the_same_pixels_with_other_labels_must_be_fixed_and_with_the_same_are_a_remark(data: Path) -> None:
    films = data / "images"
    shutil.copy(films / "00000001_000.png", films / "00000002_000.png")
    shutil.copy(films / "00000005_000.png", films / "00000007_000.png")
    code, _, report = check(data)
    assert code == 1
    assert kinds(report["must_fix"]) == {"duplicate_conflict": ["00000001_000.png = 00000002_000.png"]}
    found = kinds(report["remarks"])
    assert found["duplicates"] == ["00000001_000.png = 00000002_000.png", "00000005_000.png = 00000007_000.png"]
    assert len(found["duplicate_patients"]) == 2
    assert report["pixels"]["exact_duplicates"] == 2


def test_labels_that_contradict_themselves_and_impossible_ages_are_told(data: Path) -> None:
    rows = rows_of(data)
    rows[0][1] = "No Finding|Mass"
    rows[2][4] = "414"
    write_table(data / TABLE, rows)
    (data / "notes.csv").write_text("image_index,rsna_says_normal\n00000005_000.png,1\n")
    code, _, report = check(data, "--no-pixels")
    assert code == 1
    assert list(kinds(report["must_fix"])) == ["label_conflict"]
    found = kinds(report["remarks"])
    assert found["impossible_age"][0].endswith("line 4: 414")
    assert found["disputed"] == ["00000005_000.png: Mass|Nodule"]
    assert report["pixels"] is None


def test_leaks_of_the_official_list_and_children_are_remarks(data: Path) -> None:
    rows = rows_of(data)
    rows[-1][4] = "9"
    write_table(data / TABLE, rows)
    (data / "test_list.txt").write_text("00000000_000.png\n00000001_000.png\n00000001_001.png\n")
    shutil.copy(data / "images" / "00000001_000.png", data / "images" / "00000003_000.png")
    code, _, report = check(data)
    found = kinds(report["remarks"])
    assert code == 0
    assert found["official_leak"] == ["patient 0"]
    assert found["children"] == ["00000023_001.png: 9"]
    assert found["official_duplicates"] == ["00000001_000.png = 00000003_000.png"]
    assert report["counts"]["official part"]["test"]["films"] == 3


def test_a_recipe_plans_its_split_and_pixels_in_two_parts_of_it_must_be_fixed(data: Path, tmp_path: Path) -> None:
    (tmp_path / "recipe.toml").write_text(RECIPE)
    code, _, report = check(data, "--recipe", str(tmp_path / "recipe.toml"))
    assert code == 0
    assert set(report["counts"]["planned part"]) == {"train", "select", "calibrate", "test"}
    first = data / "images" / "00000001_000.png"
    for patient in range(3, 24, 2):
        shutil.copy(first, data / "images" / f"{patient:08d}_000.png")
    code, _, report = check(data, "--recipe", str(tmp_path / "recipe.toml"))
    assert code == 1
    assert list(kinds(report["must_fix"])) == ["duplicate_leak"]


def test_films_that_another_folder_holds_too_are_named(data: Path, tmp_path: Path) -> None:
    other = tmp_path / "other" / "deep"
    other.mkdir(parents=True)
    shutil.copy(data / "images" / "00000006_001.png", other / "renamed.png")
    (other / "strange.png").write_bytes(png_film(np.random.default_rng(1).integers(0, 255, (64, 64), dtype=np.uint8)))
    (other / "broken.png").write_bytes(b"")
    code, _, report = check(data, "--against", str(tmp_path / "other"))
    found = kinds(report["remarks"])
    assert code == 0
    assert found["also_in"] == ["00000006_001.png ~ deep/renamed.png"]
    assert "broken.png" in found["unreadable_against"][0]


def test_a_split_that_fails_must_be_fixed(tmp_path: Path) -> None:
    (tmp_path / "recipe.toml").write_text(RECIPE)
    write_table(tmp_path / TABLE, [row(f"{number}.png", "Mass", number) for number in range(9)])
    for number in range(9):
        (tmp_path / f"{number}.png").write_bytes(png_film(seed=number))
    code, _, report = check(tmp_path, "--recipe", str(tmp_path / "recipe.toml"), "--no-pixels")
    assert code == 1
    assert set(kinds(report["must_fix"])) == {"split", "one_class"}


def test_other_readers_are_asked_for_by_name(tmp_path: Path) -> None:
    for number, name in enumerate(("NORMAL/a", "NORMAL/b", "SICK/c")):
        path = tmp_path / "films" / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png_film(seed=number))
    code, _, report = check(tmp_path / "films", "--reader", "folders", "--healthy", "NORMAL")
    assert code == 0
    assert report["counts"]["all"]["films"]["unhealthy"] == 1
    assert list(kinds(report["remarks"])) == ["patients_unknown"]


@pytest.mark.parametrize(
    ("options", "error"),
    [
        (["--recipe", "healthy_unhealthy", "--reader", "csv"], RecipeError),
        (["--preset", "cpu"], RecipeError),
        (["--against", ".", "--no-pixels"], RecipeError),
        (["--against", "absent"], DatasetError),
        (["--reader", "csv"], DatasetError),
        (["--json", "absent/check.json", "--no-pixels"], RunError),
    ],
)
def test_what_cannot_be_checked_or_written_is_an_error(
    data: Path, monkeypatch: pytest.MonkeyPatch, options: list[str], error: type[Exception]
) -> None:
    monkeypatch.chdir(data)
    (data / "notes.csv").write_text("image_index,rsna_says_normal\n")
    result = CliRunner().invoke(data_app, ["check", str(data), *options])
    assert isinstance(result.exception, error)
