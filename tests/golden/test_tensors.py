"""Committed bytes become committed tensors: training caches and served films stay the same from version to version.

A difference here means that every published bundle would score films otherwise than its report says, and that tensors
which trainings keep are not those that are served: it needs a new ``TENSORS_VERSION``.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from model.decoding.decode import decode
from model.decoding.inspect import inspect_header
from model.preprocessing import TENSORS_VERSION, PreprocessingSpec, preprocess
from tests.support.exact import area_mean, exact_gray

FILMS = Path(__file__).parent / "films"
NAMES = ["monochrome1_jpeg_ls.dcm", "signed_rescaled_rle.dcm", "no_voi.dcm", "gray16.png", "gray8.jpg"]
# Of the committed tensors, one after the other in the order of their names.
SHA256 = {2: "dc20b71a9ae06baa546fe2f70cf10c2206c0625d876c297072f64f9b37076851"}


@pytest.mark.parametrize("name", NAMES)
def test_committed_film_becomes_its_committed_tensor(name: str) -> None:
    payload = (FILMS / name).read_bytes()
    tensor = preprocess(decode(payload, inspect_header(payload)), PreprocessingSpec(size=64))
    with np.load(FILMS / "tensors.npz") as expected:
        np.testing.assert_array_equal(tensor, expected[name])


@pytest.mark.parametrize("name", NAMES)
def test_a_committed_tensor_is_double_precision_rounded_once(name: str) -> None:
    payload = (FILMS / name).read_bytes()
    image = decode(payload, inspect_header(payload))
    with np.load(FILMS / "tensors.npz") as expected:
        tensor = expected[name][0]
    height, width = image.pixels.shape[0] * image.pixel_aspect, image.pixels.shape[1]
    rows, columns = (round(side * 64 / max(height, width)) for side in (height, width))
    top, left = (64 - rows) // 2, (64 - columns) // 2
    shown = tensor[top : top + rows, left : left + columns]
    assert np.abs(shown - area_mean(exact_gray(image), rows, columns)).max() <= 0.5 + 255 * 1e-5


def test_other_tensors_have_another_version() -> None:
    with np.load(FILMS / "tensors.npz") as committed:
        content = b"".join(committed[name].tobytes() for name in sorted(committed.files))
    assert hashlib.sha256(content).hexdigest() == SHA256[TENSORS_VERSION]
