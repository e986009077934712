"""MedMNIST files become samples: their parts are official, their labels named, their films found by number."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.support.datasets import data_recipe, write_archive
from tests.support.shared_data import shared_data
from training.datasets import Part
from training.datasets.nih import FINDINGS
from training.datasets.reading import read_collection
from training.datasets.split import split_samples
from training.errors import DatasetError

MEDMNIST = data_recipe(reader="medmnist", healthy=("Normal",))


def binary(**counts: int) -> dict[str, np.ndarray]:
    return {part: (np.arange(count) % 2).astype(np.uint8).reshape(-1, 1) for part, count in counts.items()}


def test_a_binary_file_becomes_samples_with_official_parts(tmp_path: Path) -> None:
    write_archive(tmp_path / "pneumoniamnist.npz", binary(train=4, val=2, test=2))
    collection = read_collection(tmp_path, MEDMNIST)
    assert [sample.official_part for sample in collection.samples] == ["train"] * 4 + ["select"] * 2 + ["test"] * 2
    assert [sample.frame for sample in collection.samples] == list(range(8))
    assert [sample.findings for sample in collection.samples[:2]] == [(), ("Pneumonia",)]
    assert {sample.path for sample in collection.samples} == {Path("pneumoniamnist.npz")}
    assert len({sample.patient for sample in collection.samples}) == 8
    (remark,) = collection.remarks
    assert remark.kind == "patients_unknown"


def test_its_parts_are_kept_by_an_official_split(tmp_path: Path) -> None:
    write_archive(tmp_path / "pneumoniamnist_64.npz", binary(train=40, val=10, test=20), pixels=32)
    recipe = MEDMNIST.model_copy(update={"official_test": True})
    samples = read_collection(tmp_path, recipe).samples
    parts = split_samples(samples, recipe, seed=1)
    assert sum(part is Part.TEST for part in parts.values()) == 20
    assert sum(part is Part.SELECT for part in parts.values()) == 10


def test_fourteen_columns_are_the_findings_of_the_collection_they_stem_from(tmp_path: Path) -> None:
    labels = np.zeros((3, 14), dtype=np.uint8)
    labels[1, [0, 13]] = 1
    labels[2, 12] = 1
    write_archive(tmp_path / "chestmnist_224.npz", {"train": labels, "val": labels[:1], "test": labels[:1]})
    samples = read_collection(tmp_path, data_recipe(reader="medmnist")).samples
    assert [sample.findings for sample in samples[:3]] == [(), (FINDINGS[0], "Hernia"), ("Pleural_Thickening",)]


def test_classes_of_another_file_have_numbers_and_one_must_be_healthy(tmp_path: Path) -> None:
    labels = np.array([[0], [1], [2]], dtype=np.uint8)
    write_archive(tmp_path / "films.npz", {"train": labels, "val": labels, "test": labels})
    with pytest.raises(DatasetError, match=r"data\.healthy \(No Finding\) names none .*class_0, class_1, class_2"):
        read_collection(tmp_path, data_recipe(reader="medmnist"))
    samples = read_collection(tmp_path, data_recipe(reader="medmnist", healthy=("class_0", "class_2"))).samples
    assert [sample.findings for sample in samples[:3]] == [(), ("class_1",), ()]


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        (None, "cannot be read as an .npz archive with train_labels, val_labels, test_labels"),
        (np.zeros((3, 1), dtype=np.uint8), r"val_labels is uint8 \(3, 1\), expected integers \(2, labels\)"),
        (np.zeros((2, 2), dtype=np.uint8), "val_labels is"),
        (np.zeros((2, 1), dtype=np.float32), "val_labels is float32"),
        (np.full((2, 1), -1, dtype=np.int8), "neither class numbers nor 0 or 1"),
    ],
)
def test_labels_that_do_not_fit_their_films_are_named(tmp_path: Path, labels: np.ndarray | None, said: str) -> None:
    write_archive(tmp_path / "pneumoniamnist.npz", binary(train=4, val=2, test=2), val_labels=labels)
    with pytest.raises(DatasetError, match=said):
        read_collection(tmp_path, MEDMNIST)


def test_no_file_or_two_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"must hold one \.npz file, found: none"):
        read_collection(tmp_path, MEDMNIST)
    for name in ("a.npz", "b.npz"):
        write_archive(tmp_path / name, binary(train=2, val=2, test=2))
    with pytest.raises(DatasetError, match=r"found: a\.npz, b\.npz"):
        read_collection(tmp_path, MEDMNIST)


def test_another_label_changes_the_fingerprint(tmp_path: Path) -> None:
    labels = binary(train=4, val=2, test=2)
    write_archive(tmp_path / "pneumoniamnist.npz", labels)
    before = read_collection(tmp_path, MEDMNIST).fingerprint
    assert read_collection(tmp_path, MEDMNIST).fingerprint == before
    labels["val"] = labels["val"][::-1]
    write_archive(tmp_path / "pneumoniamnist.npz", labels)
    assert read_collection(tmp_path, MEDMNIST).fingerprint != before


def test_the_real_file_has_the_counts_that_its_readme_states() -> None:
    samples = read_collection(shared_data("medmnist"), MEDMNIST).samples
    assert len(samples) == 5030
    assert sum(sample.is_unhealthy for sample in samples) == 4273
