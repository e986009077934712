"""Real and hostile files from the shared data: independent decoders agree, and nothing but image errors comes out."""

from __future__ import annotations

import dataclasses
import io
import json
import subprocess
import sys
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from pydicom.pixels import apply_modality_lut, apply_voi_lut

from model.decoding.decode import WANTED_TAGS, decode
from model.decoding.dicom_attributes import read_attributes, read_file_meta
from model.decoding.dicom_pixels import read_bit_layout, read_stored_values
from model.decoding.header import Header
from model.decoding.inspect import inspect_header
from model.decoding.transfer_syntaxes import JUDGED_TRANSFER_SYNTAXES
from model.errors import ImageError
from tests.support.films import display
from tests.support.shared_data import shared_data

REPOSITORY = Path(__file__).resolve().parents[3]


@dataclasses.dataclass(frozen=True, kw_only=True)
class RealFilm:
    """A single-frame gray DICOM file of a judged transfer syntax, whatever its modality, as pydicom reads it."""

    path: Path
    header: Header
    dataset: Any
    expected: NDArray[Any]


@pytest.fixture(scope="module")
def real_films() -> list[RealFilm]:
    found = []
    for path in sorted(shared_data("dicom").glob("*/*")):
        try:
            header = inspect_header(path)
        except ImageError:
            continue
        is_gray = header.samples_per_pixel == 1 and header.number_of_frames == 1
        if is_gray and header.has_pixel_data and header.transfer_syntax_uid in JUDGED_TRANSFER_SYNTAXES:
            dataset, expected = read_with_pydicom(path)
            if expected is not None and dataset.BitsAllocated in (8, 16):
                found.append(RealFilm(path=path, header=header, dataset=dataset, expected=expected))
    return found


def stored_values(path: Path, header: Header) -> NDArray[Any]:
    content = path.read_bytes()
    stream = io.BytesIO(content)
    meta = read_file_meta(stream)
    attributes = read_attributes(stream, len(content), meta, WANTED_TAGS)
    assert attributes.pixels is not None
    shape = (header.rows or 0, header.columns or 0)
    return read_stored_values(content, meta, attributes.pixels, read_bit_layout(attributes), shape)


def read_with_pydicom(path: Path) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset = pydicom.dcmread(path)
        try:
            return dataset, dataset.pixel_array
        except (AttributeError, RuntimeError, ValueError):  # odd_or_broken: the file, not the decoder
            return dataset, None


def test_stored_values_equal_an_independent_decoder_on_every_real_film(real_films: list[RealFilm]) -> None:
    for film in real_films:
        np.testing.assert_array_equal(stored_values(film.path, film.header), film.expected, err_msg=film.path.name)
    assert len(real_films) >= 40


def test_twelve_bit_jpeg_stays_close_to_its_lossless_sibling() -> None:
    """WG04 published the same hip film losslessly and through JPEG process 4."""
    folder = shared_data("dicom", "other_xray")
    lossless = folder / "dicom-test-fil__data_WG04_JPLL_RG2_JPLL.dcm"
    lossy = folder / "pylibjpeg-data__ljdata_ds_JPEGExtended_RG2_JPLY_fixed.dcm"
    expected = stored_values(lossless, inspect_header(lossless)).astype(int)
    actual = stored_values(lossy, inspect_header(lossy)).astype(int)
    assert np.abs(actual - expected).mean() < 4
    assert np.abs(actual - expected).max() < 0.1 * 1023


def test_shown_films_agree_with_a_double_precision_reference(real_films: list[RealFilm]) -> None:
    compared = 0
    for film in real_films:
        dataset, header = film.dataset, film.header
        if dataset.get("WindowCenter") in (None, "") or "ModalityLUTSequence" in dataset:
            continue
        if header.photometric_interpretation not in ("MONOCHROME1", "MONOCHROME2"):
            continue
        shown = display(decode(film.path, header))[::7]  # the reference is pointwise, and slow
        np.testing.assert_allclose(shown, reference_of(dataset, film.expected[::7], header), atol=1e-3)
        compared += 1
    assert compared >= 20


def reference_of(dataset: Any, stored: NDArray[Any], header: Header) -> NDArray[np.float64]:
    """Rescale, window and invert in double precision with pydicom; its inversion is not used (PROTOCOLS §3)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        modality = np.asarray(apply_modality_lut(stored, dataset), dtype=np.float64)
        windowed = np.asarray(apply_voi_lut(modality, dataset, prefer_lut=False), dtype=np.float64)
    signed = dataset.PixelRepresentation == 1
    lowest = -(2 ** (dataset.BitsStored - 1)) if signed else 0
    ends = np.array([lowest, lowest + 2**dataset.BitsStored - 1], dtype=np.float64)
    ends = ends * float(dataset.get("RescaleSlope", 1)) + float(dataset.get("RescaleIntercept", 0))
    shown = (windowed - ends[0]) / (ends[1] - ends[0])
    return 1 - shown if header.photometric_interpretation == "MONOCHROME1" else shown


def test_headers_agree_with_pydicom_on_every_real_file() -> None:
    compared = 0
    for path in sorted(shared_data("dicom").glob("*/*")):
        try:
            header = inspect_header(path)
        except ImageError:
            continue
        if header.transfer_syntax_uid not in JUDGED_TRANSFER_SYNTAXES:
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            dataset = pydicom.dcmread(path, stop_before_pixels=True)
            expected = {
                "rows": dataset.get("Rows"),
                "columns": dataset.get("Columns"),
                "sop_instance_uid": dataset.get("SOPInstanceUID") or None,
                "study_instance_uid": dataset.get("StudyInstanceUID") or None,
                "modality": dataset.get("Modality") or None,
                "photometric_interpretation": dataset.get("PhotometricInterpretation") or None,
                "number_of_frames": int(dataset.get("NumberOfFrames") or 1),
            }
        if expected["sop_instance_uid"] is None:
            expected["sop_instance_uid"] = header.sop_instance_uid  # then it is the meta information's
        actual = dataclasses.asdict(header)
        assert {name: actual[name] for name in expected} == expected, path.name
        compared += 1
    assert compared >= 110


def outcomes_of(paths: list[Path]) -> Counter[str]:
    """Walk ``paths`` in one process of 2 GiB; a crash of that process fails the test."""
    finished = subprocess.run(
        [sys.executable, "-m", "tests.support.limited_walk"],
        input="\n".join(str(path.resolve()) for path in paths),
        capture_output=True,
        text=True,
        cwd=REPOSITORY,
        timeout=250,
        check=False,
    )
    lines = [json.loads(line) for line in finished.stdout.splitlines()]
    assert finished.returncode == 0, f"died behind {lines[-1:]}: {finished.stderr[-2000:]}"
    assert len(lines) == len(paths)
    return Counter(line["outcome"] for line in lines)


def test_every_hostile_file_ends_in_an_image_error_or_a_tensor() -> None:
    paths = sorted(path for path in shared_data("hostile").rglob("*") if path.is_file())
    outcomes = outcomes_of(paths)
    assert sum(outcomes.values()) == len(paths) >= 400


def test_real_dicom_files_end_as_the_gate_promises() -> None:
    paths = sorted(shared_data("dicom").glob("*/*"))
    outcomes = outcomes_of(paths)
    assert outcomes["scored"] == 6
    assert outcomes["UnsuitableImage sop_class"] >= 90
    assert outcomes["UnsuitableImage transfer_syntax"] >= 15
    assert set(outcomes) <= {
        "scored",
        *(
            f"UnsuitableImage {reason}"
            for reason in ("sop_class", "transfer_syntax", "derived", "body_part", "age", "no_pixel_data")
        ),
        "UnsupportedFormat decode_error",
        "CorruptImage decode_error",
    }


@pytest.mark.parametrize("start", [0, 10])
def test_nih_films_pass_the_gate(start: int) -> None:
    paths = sorted(shared_data("nih", "images").glob("*.jpg"))[start::20]
    outcomes = outcomes_of(paths)
    # One film of these, 00017999_000, really has black and white exchanged.
    assert set(outcomes) <= {"scored", "UnsuitableImage inverted"}
    assert outcomes["scored"] >= len(paths) - 1
