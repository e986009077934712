"""Committed bytes become committed tensors: training caches and served films stay the same from version to version.

A difference here means that every published bundle would score films otherwise than its report says.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from model.decoding.decode import decode
from model.decoding.inspect import inspect_header
from model.preprocessing import PreprocessingSpec, preprocess

FILMS = Path(__file__).parent / "films"


@pytest.mark.parametrize(
    "name", ["monochrome1_jpeg_ls.dcm", "signed_rescaled_rle.dcm", "no_voi.dcm", "gray16.png", "gray8.jpg"]
)
def test_committed_film_becomes_its_committed_tensor(name: str) -> None:
    payload = (FILMS / name).read_bytes()
    tensor = preprocess(decode(payload, inspect_header(payload)), PreprocessingSpec(size=64))
    with np.load(FILMS / "tensors.npz") as expected:
        np.testing.assert_array_equal(tensor, expected[name])
