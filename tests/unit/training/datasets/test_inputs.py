from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from model.demographics import unknown_age_sex
from training.datasets.inputs import Inputs, age_sex_of, input_batches, read_inputs
from training.datasets.sample import Part, Sample

PATIENTS = [(58, "M"), (None, "F"), (7, None), (None, None), (414, "M"), (34, "F")]
TABLE = [
    (Sample(id=str(row), path=Path(), patient=str(row), findings=(), age_years=age, sex=sex), Part.TRAIN)
    for row, (age, sex) in enumerate(PATIENTS)
]
nan = np.nan
ENCODED = np.array([[0.58, 1], [nan, 0], [0.07, nan], [nan, nan], [nan, 1], [0.34, 0]], dtype=np.float32)


@pytest.fixture
def tensors(tmp_path: Path) -> Path:
    """Each film's pixels are its row."""
    path = tmp_path / "tensors.npy"
    np.save(path, np.arange(6, dtype=np.uint8).reshape(6, 1, 1, 1).repeat(4, axis=2).repeat(4, axis=3))
    return path


def test_what_is_not_known_of_a_patient_is_nan() -> None:
    np.testing.assert_array_equal(age_sex_of(TABLE), ENCODED)
    assert age_sex_of([]).shape == (0, 2)


@pytest.mark.parametrize("size", [1, 2, 3, 64])
def test_rows_stay_beside_their_films_in_blocks_of_any_size(tensors: Path, size: int) -> None:
    rows = [4, 0, 5, 2]
    blocks = list(input_batches(tensors, TABLE, rows, with_age_sex=True, size=size))
    assert all(len(block) <= size for block in blocks)
    films = np.concatenate([block.films for block in blocks])
    age_sex = np.concatenate([block.age_sex for block in blocks if block.age_sex is not None])
    assert films[:, 0, 0, 0].tolist() == rows
    np.testing.assert_array_equal(age_sex, ENCODED[rows])
    whole = read_inputs(tensors, TABLE, rows, with_age_sex=True)
    np.testing.assert_array_equal(whole.films, films)
    np.testing.assert_array_equal(whole.age_sex, age_sex)


def test_a_network_that_asks_for_films_alone_gets_no_more(tensors: Path) -> None:
    assert [block.age_sex for block in input_batches(tensors, TABLE, [1, 2], with_age_sex=False)] == [None]
    assert read_inputs(tensors, TABLE, [1], with_age_sex=False).age_sex is None


def test_a_row_for_fewer_patients_than_films_is_refused_and_never_spread() -> None:
    films = np.zeros((3, 1, 4, 4), dtype=np.uint8)
    assert len(Inputs(films=films, age_sex=unknown_age_sex(3))) == 3
    with pytest.raises(ValueError, match=r"age and sex of 3 films came as \(1, 2\)"):
        Inputs(films=films, age_sex=unknown_age_sex(1))
