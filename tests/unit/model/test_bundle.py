"""A bundle is whole, verified and immutable, or it is refused with one line."""

from __future__ import annotations

import hashlib
import io
import json
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from model.bundle import MANIFEST_FILE, GateArrays, pack_gate, pack_golden, read_bundle, read_manifest, write_bundle
from model.bundle_files import FILE_BYTES, FILES, MANIFEST_BYTES, write_directory
from model.demographics import AgeSex
from model.errors import BundleCorrupt, BundleIncompatible, BundleNotFound
from model.manifest import GOLDEN_FILE, NETWORK_FILE, GateStatistics
from tests.support.bundles import write_tiny_bundle
from tests.support.finding_bundles import AGE_SEX, golden_age_sex, write_finding_bundle
from training.graphs.publish_checks import BYTES_AT_MOST


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


def test_age_and_sex_of_the_golden_films_are_read_back(tmp_path: Path) -> None:
    written = write_finding_bundle(tmp_path / "findings")
    np.testing.assert_array_equal(read_bundle(written).golden_age_sex, golden_age_sex())
    assert read_bundle(write_tiny_bundle(tmp_path / "tiny")).golden_age_sex is None


@pytest.mark.parametrize(
    ("age_sex", "facts", "named"),
    [
        (None, {"age_sex_input_name": AGE_SEX}, "go together"),
        (golden_age_sex(), {}, "go together"),
        (golden_age_sex()[:2], {"age_sex_input_name": AGE_SEX}, r"age_sex is float32\(2, 2\)"),
        (golden_age_sex().astype(np.float64), {"age_sex_input_name": AGE_SEX}, "age_sex is float64"),
    ],
    ids=["missing", "surplus", "too few", "another type"],
)
def test_golden_age_and_sex_that_do_not_fit_the_manifest_are_corruption(
    tmp_path: Path, age_sex: AgeSex | None, facts: dict[str, Any], named: str
) -> None:
    with pytest.raises(BundleCorrupt, match=named):
        read_bundle(write_tiny_bundle(tmp_path / "tiny", golden_age_sex=age_sex, **facts))


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"schema_version": 2}, "schema_version"),
        ({"surprise": 1}, "surprise"),
        ({"default_operating_point": "absent"}, "default_operating_point is not among"),
        ({"labels": ["Mass"]}, "labels and findings_output_name"),
        ({"probability_rule": "any_of_findings"}, "any_of_findings needs labels"),
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


def test_a_symbolic_link_is_not_followed(directory: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere.onnx"
    (directory / NETWORK_FILE).rename(elsewhere)
    (directory / NETWORK_FILE).symlink_to(elsewhere)
    with pytest.raises(BundleCorrupt, match=r"cannot read model\.onnx"):
        read_bundle(directory)


def test_a_manifest_that_is_a_symbolic_link_is_not_followed(directory: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere.json"
    (directory / MANIFEST_FILE).rename(elsewhere)
    (directory / MANIFEST_FILE).symlink_to(elsewhere)
    with pytest.raises(BundleNotFound, match=MANIFEST_FILE):
        read_bundle(directory)


def test_a_pipe_is_no_file_and_nobody_waits_for_it(directory: Path) -> None:
    (directory / NETWORK_FILE).unlink()
    os.mkfifo(directory / NETWORK_FILE)
    with pytest.raises(BundleCorrupt, match="no plain file"):
        read_bundle(directory)


@pytest.mark.parametrize(("name", "most"), [(NETWORK_FILE, FILE_BYTES), (MANIFEST_FILE, MANIFEST_BYTES)])
def test_a_file_too_large_for_a_bundle_is_refused_before_it_is_read(directory: Path, name: str, most: int) -> None:
    os.truncate(directory / name, most + 1)  # a hole: read or not, it costs no disk
    with pytest.raises(BundleCorrupt, match=f"more than {most} are not read"):
        read_bundle(directory)


def test_the_largest_graph_that_is_published_can_be_read() -> None:
    assert BYTES_AT_MOST <= FILE_BYTES


def test_a_file_that_no_manifest_vouches_for_is_refused(directory: Path) -> None:
    (directory / ".notes").write_text("file systems leave such names")
    read_bundle(directory)
    (directory / "model_v2.onnx").write_bytes(b"")
    with pytest.raises(BundleCorrupt, match=r"model_v2\.onnx, which its manifest does not name"):
        read_bundle(directory)


def test_a_manifest_that_names_files_without_end_is_refused(directory: Path) -> None:
    surplus = {f"file-{number}": "0" * 64 for number in range(FILES)}
    edit_manifest(directory, files=json.loads((directory / MANIFEST_FILE).read_text())["files"] | surplus)
    with pytest.raises(BundleIncompatible, match=f"at most {FILES}"):
        read_bundle(directory)


def test_an_archive_that_unfolds_without_end_is_refused_before_it_does(directory: Path) -> None:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as entries, entries.open("tensors.npy", "w") as entry:
        for _ in range(300):
            entry.write(bytes(1024**2))
    content = archive.getvalue()
    assert len(content) < 1024**2
    (directory / GOLDEN_FILE).write_bytes(content)
    files = json.loads((directory / MANIFEST_FILE).read_text())["files"]
    edit_manifest(directory, files=files | {GOLDEN_FILE: hashlib.sha256(content).hexdigest()})
    with pytest.raises(BundleCorrupt, match="unfolds to"):
        read_bundle(directory)


def test_what_cannot_be_written_whole_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "file").touch()
    with pytest.raises(OSError, match="not empty"):
        write_directory(tmp_path / "taken", {"a": b"1"})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["taken"]


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


def with_gate(tmp_path: Path, content: bytes) -> Path:
    """Write the tiny bundle again with gate statistics and whatever ``gate.npz`` holds."""
    tiny = read_bundle(write_tiny_bundle(tmp_path / "plain"))
    statistics = GateStatistics(output_name="embedding", limit=9.0, percentile=99.5, films=40)
    write_bundle(
        tmp_path / "gated",
        tiny.manifest.model_copy(update={"gate": statistics}),
        {"model.onnx": tiny.network, "golden.npz": pack_golden(tiny.golden_tensors), "gate.npz": content},
    )
    return tmp_path / "gated"


def test_gate_statistics_are_read_back_exactly(tmp_path: Path) -> None:
    arrays = GateArrays(mean=np.array([0.1, -2.0]), covariance=np.array([[1.0, 0.2], [0.2, 3.0]]))
    bundle = read_bundle(with_gate(tmp_path, pack_gate(arrays)))
    assert bundle.gate is not None
    np.testing.assert_array_equal(bundle.gate.mean, arrays.mean)
    np.testing.assert_array_equal(bundle.gate.covariance, arrays.covariance)


@pytest.mark.parametrize(
    ("mean", "covariance"),
    [
        (np.zeros(2), np.eye(3)),
        (np.zeros((2, 2)), np.eye(2)),
        (np.zeros(0), np.zeros((0, 0))),
        (np.zeros(2), np.full((2, 2), np.nan)),
        (np.zeros(2, dtype=np.float32), np.eye(2)),
    ],
)
def test_gate_arrays_that_cannot_gate_are_refused(tmp_path: Path, mean: np.ndarray, covariance: np.ndarray) -> None:
    with pytest.raises(BundleCorrupt, match=r"gate\.npz holds no finite float64 mean"):
        read_bundle(with_gate(tmp_path, pack_gate(GateArrays(mean=mean, covariance=covariance))))


def test_a_gate_file_that_is_no_archive_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleCorrupt, match=r"gate\.npz is not an archive"):
        read_bundle(with_gate(tmp_path, b"no archive"))


def test_statistics_without_their_arrays_are_refused(directory: Path) -> None:
    edit_manifest(directory, gate={"output_name": "embedding", "limit": 9.0, "percentile": 99.5, "films": 40})
    with pytest.raises(BundleIncompatible, match=r"gate and gate\.npz go together"):
        read_manifest(directory)
