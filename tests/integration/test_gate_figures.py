"""The gate's published figures, through the bundle that ships and the real films of ``shared/data`` (issue 3)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from model.bundle import read_bundle
from model.errors import Reason
from model.runtime import Provider, Scorer
from tests.support.shared_data import shared_data
from tests.support.shipped_gate import NOT_CHEST, ShippedGate, as_png, enlarged, shown

BUNDLES = Path(__file__).resolve().parents[2] / "model" / "bundles"
# Every n-th film: the shares need a few hundred films, not all.
EVERY = 6


@pytest.fixture(scope="module")
def gate() -> ShippedGate:
    for directory in sorted(BUNDLES.iterdir()):
        bundle = read_bundle(directory)
        if bundle.gate is not None:
            return ShippedGate(bundle)
    pytest.skip("the bundle that ships has no gate statistics yet")


def test_the_embedding_computed_alone_is_the_one_that_is_served(gate: ShippedGate) -> None:
    tensors = np.concatenate([gate.bundle.golden_tensors[:3], np.full_like(gate.bundle.golden_tensors[:1], 255)])
    served = [score.embedding for score in Scorer(gate.bundle, provider=Provider.CPU).score(tensors)]
    assert served[0] is not None
    np.testing.assert_allclose([gate.embedding(tensor) for tensor in tensors], served, rtol=1e-6, atol=1e-6)


def test_films_of_other_body_parts_end_not_assessed(gate: ShippedGate) -> None:
    folders = {name: sorted(shared_data("ood", name).iterdir())[::3] for name in NOT_CHEST}
    refused = {name: gate.share_refused(enlarged(path) for path in paths) for name, paths in folders.items()}
    films = sum(len(paths) for paths in folders.values())
    overall = sum(refused[name] * len(paths) for name, paths in folders.items()) / films
    assert overall >= 0.95, refused
    assert min(refused.values()) >= 0.8, refused


def test_dicom_files_that_are_no_chest_films_end_not_assessed(gate: ShippedGate) -> None:
    folder = shared_data("dicom")
    files = [path for path in folder.rglob("*.dcm") if path.parent.name in {"other_modality", "other_xray"}]
    assert gate.share_refused(path.read_bytes() for path in files) >= 0.95


def test_rasters_that_are_no_films_end_not_assessed(gate: ShippedGate) -> None:
    files = [path for path in shared_data("hostile").rglob("*") if path.is_file()]
    assert gate.share_refused(path.read_bytes() for path in files) >= 0.99


def test_chest_films_pass_as_they_are_and_through_64_pixels(gate: ShippedGate) -> None:
    films = sorted(shared_data("nih", "images").iterdir())[::EVERY]
    assert gate.share_refused(path.read_bytes() for path in films) <= 0.015
    assert gate.share_refused(enlarged(path, through=64) for path in films) <= 0.05
    assert gate.share_refused(enlarged(path) for path in sorted(shared_data("ood", "CXR").iterdir())) <= 0.05


def test_chest_films_of_other_hospitals_pass(gate: ShippedGate) -> None:
    films = sorted(shared_data("radiography", "covid").iterdir())[::EVERY]
    assert gate.share_refused(path.read_bytes() for path in films) <= 0.05


@pytest.mark.parametrize(
    "name",
    [
        "dicom-test-fil__data_WG04_J2KI_RG1_J2KI.dcm",
        "dicom-test-fil__data_WG04_JLSN_RG1_JLSN.dcm",
        "dwv__tests_data_gdcm-CR-MONO1-10-chest.dcm",
        "pylibjpeg-data__ljdata_ds_JPEG2000Lossless_966_fixed.dcm",
    ],
)
def test_real_chest_dicom_films_pass(gate: ShippedGate, name: str) -> None:
    assert gate.refusal(shared_data("dicom", "chest_radiograph", name).read_bytes()) is None


def test_inverted_chest_films_end_not_assessed(gate: ShippedGate) -> None:
    films = sorted(shared_data("nih", "images").iterdir())[::EVERY]
    refusals = [gate.refusal(as_png(255 - shown(path))) for path in films]
    assert np.mean([reason is not None for reason in refusals]) >= 0.98
    assert np.mean([reason is Reason.INVERTED for reason in refusals]) >= 0.95
