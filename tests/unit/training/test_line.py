"""Which steps a change of the recipe repeats, and what is refused before any of them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from model.bundle import read_manifest
from tests.support.bundles import write_tiny_bundle
from tests.support.datasets import write_collection
from tests.support.training_runs import context_of, printed, tiny_recipe
from training.datasets.reading import read_collection
from training.errors import DatasetError
from training.line import State, keys_of, run_line, run_step, states


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


@pytest.mark.parametrize(
    ("changes", "repeated"),
    [
        ({"data": {"oldest_years": 120}}, "manifest"),
        ({"data": {"unreadable_images": "skip"}}, "manifest"),
        ({"preprocessing": {"size": 48}}, "pixels"),
        ({"network": {"normalisation": "film"}}, "features"),
        ({"features": {"flip": 0.5}}, "features"),
        ({"head": {"monitor": "loss"}}, "head"),
        ({"loss": {"any_weight": 0.5}}, "head"),
        ({"scratch": {"batches_per_epoch": 1}}, "finetune"),
        ({"augmentation": {"shear": 1}}, "finetune"),
        ({"export": {"parity_films": 3}}, "export"),
        ({"threshold": {"confidence": 0.9}}, "threshold"),
        ({"evaluation": {"findings_threshold": 0.2}}, "evaluate"),
        ({"evaluation": {"activation_maps": True}}, "evaluate"),
    ],
)
def test_a_value_repeats_the_first_step_that_reads_it_and_all_after(
    tmp_path: Path, changes: dict[str, Any], repeated: str
) -> None:
    before, after = (
        {step.name: key for step, key in keys_of(context_of(tmp_path, recipe, tmp_path), "films")}
        for recipe in (tiny_recipe(), tiny_recipe(**changes))
    )
    differing = [name for name in before if before[name] != after[name]]
    assert differing == list(before)[list(before).index(repeated) :]


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


def test_a_line_ends_where_it_is_told_to_and_takes_from_others_what_is_the_same(tmp_path: Path, drawn: Path) -> None:
    first = context_of(tmp_path / "first", tiny_recipe(), drawn)
    assert run_line(first, until="pixels") == ["manifest", "pixels"]
    assert first.run.key("features") is None
    second = context_of(tmp_path / "second", tiny_recipe(scratch={"epochs": 9}), drawn)
    assert run_line(second, until="features", others=[first.run]) == ["features"]
    assert second.run.tensors(32).samefile(first.run.tensors(32))
    assert "pixels: the same as in first, taken from there" in printed(second)
    other = context_of(tmp_path / "other", tiny_recipe(data={"test": 0.3, "train": 0.3}), drawn)
    assert run_line(other, until="manifest", others=[first.run, second.run]) == ["manifest"]


def test_a_bundle_counts_as_published_only_while_it_is_the_one_that_this_run_put_there(
    tmp_path: Path, drawn: Path
) -> None:
    context = context_of(tmp_path / "run", tiny_recipe(), drawn)
    key = {
        step.name: key for step, key in keys_of(context, read_collection(drawn, context.order.recipe.data).fingerprint)
    }
    write_tiny_bundle(context.destination)
    _, digest = read_manifest(context.destination)
    with context.run.writing("publish", key["publish"], commit="none") as output:
        (output / context.run.published.name).write_text(json.dumps({"digest": digest}))
    assert dict(states(context))["publish"] is State.FINISHED
    shutil.rmtree(context.destination)
    assert dict(states(context))["publish"] is State.OUTDATED
    write_tiny_bundle(context.destination, size=32)
    assert dict(states(context))["publish"] is State.OUTDATED
