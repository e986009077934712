"""A bundle is whole, verified and immutable, or it is refused with one line."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from model.bundle import MANIFEST_FILE, NETWORK_FILE, read_bundle, read_manifest, write_bundle
from model.errors import BundleCorrupt, BundleIncompatible, BundleNotFound
from tests.support.bundles import write_tiny_bundle


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return write_tiny_bundle(tmp_path / "tiny")


def edit_manifest(directory: Path, **changes: Any) -> None:
    path = directory / MANIFEST_FILE
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_what_is_written_is_read_back(directory: Path) -> None:
    bundle = read_bundle(directory)
    assert bundle.network == (directory / NETWORK_FILE).read_bytes()
    assert bundle.golden_tensors.shape == (3, 1, 64, 64)
    assert bundle.golden_tensors.dtype == np.uint8


def test_the_digest_is_the_sha256_of_the_manifest(directory: Path) -> None:
    assert read_bundle(directory).digest == hashlib.sha256((directory / MANIFEST_FILE).read_bytes()).hexdigest()
    assert read_manifest(directory)[1] == read_bundle(directory).digest


def test_a_missing_directory_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(BundleNotFound, match=MANIFEST_FILE):
        read_bundle(tmp_path / "absent")


@pytest.mark.parametrize("name", ["model.onnx", "golden.npz"])
def test_one_changed_bit_in_a_file_is_found(directory: Path, name: str) -> None:
    content = bytearray((directory / name).read_bytes())
    content[len(content) // 2] ^= 1
    (directory / name).write_bytes(content)
    with pytest.raises(BundleCorrupt, match=rf"{name} differs from the sha256"):
        read_bundle(directory)


def test_a_missing_file_is_named(directory: Path) -> None:
    (directory / NETWORK_FILE).unlink()
    with pytest.raises(BundleCorrupt, match=r"cannot read model\.onnx"):
        read_bundle(directory)


def test_golden_tensors_of_another_size_are_refused(directory: Path) -> None:
    edit_manifest(directory, preprocessing={"size": 32, "fit": "letterbox"})
    with pytest.raises(BundleCorrupt, match="does not fit the manifest"):
        read_bundle(directory)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"schema_version": 2}, "schema_version"),
        ({"surprise": 1}, "surprise"),
        ({"default_operating_point": "absent"}, "default_operating_point is not among"),
        ({"labels": ["Mass"]}, "labels and findings_output_name"),
        ({"files": {"model.onnx": "0" * 64}}, "golden.npz"),
        ({"files": {"model.onnx": "0", "golden.npz": "0", "../outside": "0"}}, "not a plain name"),
    ],
)
def test_a_manifest_that_breaks_its_schema_is_refused_by_name(
    directory: Path, changes: dict[str, Any], named: str
) -> None:
    edit_manifest(directory, **changes)
    with pytest.raises(BundleIncompatible, match=named):
        read_manifest(directory)


def test_a_manifest_that_is_no_json_is_refused(directory: Path) -> None:
    (directory / MANIFEST_FILE).write_text("{")
    with pytest.raises(BundleIncompatible, match="not a manifest"):
        read_manifest(directory)


def test_a_threshold_that_is_no_number_is_refused(directory: Path) -> None:
    path = directory / MANIFEST_FILE
    path.write_text(path.read_text().replace('"threshold": 0.4', '"threshold": NaN'))
    with pytest.raises(BundleIncompatible):
        read_manifest(directory)


def test_an_existing_directory_is_never_overwritten(directory: Path) -> None:
    before = {path.name: path.read_bytes() for path in directory.iterdir()}
    with pytest.raises(FileExistsError, match="immutable"):
        write_bundle(directory, read_manifest(directory)[0], {"model.onnx": b"other"})
    assert {path.name: path.read_bytes() for path in directory.iterdir()} == before


def test_nothing_is_left_beside_a_written_bundle(directory: Path) -> None:
    assert [path.name for path in directory.parent.iterdir()] == ["tiny"]


def test_an_unknown_operating_point_names_the_known_ones(directory: Path) -> None:
    manifest = read_manifest(directory)[0]
    assert manifest.operating_point().name == "f3"
    assert manifest.operating_point("all").threshold == 0
    with pytest.raises(BundleIncompatible, match="it has: f3, all"):
        manifest.operating_point("sens99")
