"""A graph is fed what its manifest names, in the types and shapes that it says."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from model.bundle import read_manifest
from model.demographics import unknown_age_sex
from model.errors import BundleIncompatible
from model.inputs import check_inputs, feed
from model.manifest import Manifest
from tests.support.finding_bundles import AGE_SEX, write_finding_bundle


@dataclass(frozen=True)
class Declared:
    type: str
    shape: tuple[object, ...]


FILM = Declared("tensor(uint8)", ("n", 1, 64, 64))
TWO_NUMBERS = Declared("tensor(float)", (None, 2))


@pytest.fixture
def manifest(tmp_path: Path) -> Manifest:
    return read_manifest(write_finding_bundle(tmp_path / "findings"))[0]


@pytest.mark.parametrize("age_sex", [TWO_NUMBERS, Declared("tensor(float)", ("n", "columns"))])
def test_sides_that_the_graph_leaves_open_fit(manifest: Manifest, age_sex: Declared) -> None:
    check_inputs(manifest, {"film": FILM, AGE_SEX: age_sex})


@pytest.mark.parametrize(
    ("film", "age_sex", "message"),
    [
        (FILM, Declared("tensor(float)", ("n", 3)), r"'age_sex' as .* says tensor\(float\) \(n, 2\)"),
        (FILM, Declared("tensor(float)", ("n", 2, 1)), "'age_sex'"),
        (FILM, Declared("tensor(double)", ("n", 2)), "'age_sex'"),
        (Declared("tensor(float)", ("n", 1, 64, 64)), TWO_NUMBERS, r"'film' as .* says tensor\(uint8\)"),
        (Declared("tensor(uint8)", ("n", 64, 64)), TWO_NUMBERS, "'film'"),
        (Declared("tensor(uint8)", (1, 1, 64, 64)), TWO_NUMBERS, r"'film' as .* says tensor\(uint8\) \(n, 1, 64, 64\)"),
        (FILM, Declared("tensor(float)", (1, 2)), "'age_sex'"),
        (FILM, Declared("tensor(float)", ()), "'age_sex'"),
    ],
)
def test_another_type_or_shape_is_refused_by_name(
    manifest: Manifest, film: Declared, age_sex: Declared, message: str
) -> None:
    with pytest.raises(BundleIncompatible, match=message):
        check_inputs(manifest, {"film": film, AGE_SEX: age_sex})


def test_one_name_for_both_inputs_is_refused(manifest: Manifest) -> None:
    with pytest.raises(BundleIncompatible, match="takes the inputs"):
        check_inputs(manifest.model_copy(update={"age_sex_input_name": "film"}), {"film": FILM})


def test_films_are_fed_with_their_rows_and_with_unknowns_where_there_are_none(manifest: Manifest) -> None:
    films, rows = np.zeros((2, 1, 64, 64), np.uint8), np.array([[0.6, 0.0], [0.3, 1.0]], np.float32)
    fed = feed(manifest, films, rows)
    assert fed["film"] is films
    assert fed[AGE_SEX] is rows
    np.testing.assert_array_equal(feed(manifest, films, None)[AGE_SEX], unknown_age_sex(2))
