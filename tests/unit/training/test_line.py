"""Which steps a change of the recipe repeats, and what is refused before any of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.datasets import write_collection
from tests.support.training_runs import context_of, printed, tiny_recipe
from training.errors import DatasetError
from training.line import run_step


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_collection(tmp_path_factory.mktemp("drawn"), patients=24, pixels=64)


def test_another_size_of_a_stage_repeats_the_pixels_and_not_the_manifest(tmp_path: Path, drawn: Path) -> None:
    first = context_of(tmp_path, tiny_recipe(), drawn)
    assert run_step(first, "manifest")
    assert run_step(first, "pixels")
    assert not run_step(first, "pixels")
    second = context_of(tmp_path, tiny_recipe(scratch={"size": 48}), drawn)
    assert not run_step(second, "manifest")
    assert run_step(second, "pixels")
    assert {path.name for path in second.run.tensors(48).parent.glob("*.npy")} == {"tensors-32.npy", "tensors-48.npy"}


def test_another_fold_repeats_the_manifest(tmp_path: Path, drawn: Path) -> None:
    for fold in (0, 1):
        context = context_of(tmp_path, tiny_recipe(data={"folds": 3, "test_fold": fold}), drawn)
        assert run_step(context, "manifest")


def test_a_finding_that_no_film_carries_is_refused_by_name(tmp_path: Path, drawn: Path) -> None:
    recipe = tiny_recipe(network={"findings": ["Mass", "Hernai"]}, loss={"findings_weight": 1.0})
    context = context_of(tmp_path, recipe, drawn)
    with pytest.raises(DatasetError, match=r"network\.findings names Hernai, .*carry: Mass, Nodule"):
        run_step(context, "manifest")


def test_what_the_reader_remarks_is_said_by_the_run(tmp_path: Path) -> None:
    films = write_collection(tmp_path / "drawn", patients=24, pixels=32)
    data = tmp_path / "folders"
    for number, film in enumerate(sorted(films.rglob("*.png"))):
        place = data / ("well" if number % 4 < 2 else "ill") / f"film{number}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(film.read_bytes())
    context = context_of(tmp_path / "run", tiny_recipe(data={"reader": "folders", "healthy": ["well"]}), data)
    assert run_step(context, "manifest")
    assert "NOTE: file names that tell no patient" in printed(context).replace("\n", " ")
