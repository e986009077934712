"""Age and sex become two numbers, and what is not known stays unknown."""

from __future__ import annotations

import numpy as np
import pytest

from model.decoding.header import Header, ImageFormat, with_claims
from model.demographics import OLDEST_YEARS, encode_age_sex, unknown_age_sex


@pytest.mark.parametrize(
    ("age_years", "sex", "expected"),
    [
        (60, "F", (0.6, 0.0)),
        (0.5, "M", (0.005, 1.0)),
        (OLDEST_YEARS, " m ", (1.2, 1.0)),
        (None, "O", (np.nan, np.nan)),
        (121, None, (np.nan, np.nan)),
        (-1, "", (np.nan, np.nan)),
        (np.nan, "M\\F", (np.nan, np.nan)),
        (np.inf, "F", (np.nan, 0.0)),
    ],
)
def test_age_and_sex_are_encoded_and_what_cannot_be_is_unknown(
    age_years: float | None, sex: str | None, expected: tuple[float, float]
) -> None:
    encoded = encode_age_sex(age_years, sex)
    assert encoded.dtype == np.float32
    np.testing.assert_array_equal(encoded, np.array(expected, np.float32))


def test_an_age_that_the_gate_calls_impossible_is_unknown_to_the_network_too() -> None:
    raster = Header(image_format=ImageFormat.PNG)
    for age_years in (OLDEST_YEARS, np.nextafter(OLDEST_YEARS, np.inf)):
        is_impossible = with_claims(raster, age_years=age_years).age_is_contradictory
        assert np.isnan(encode_age_sex(age_years, None)[0]) == is_impossible


def test_films_of_unknown_patients_have_two_unknowns_each() -> None:
    assert unknown_age_sex(3).shape == (3, 2)
    assert unknown_age_sex(3).dtype == np.float32
    assert np.isnan(unknown_age_sex(3)).all()
