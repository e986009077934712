"""Table (a) compares two ways that read the same film; the time of a wrong answer is no figure."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks import usual
from benchmarks.decoding import GOALS, SIDE, NotTheSameFilm, our_tensor, require_same_film
from benchmarks.films import Encoded, plate_as, radiograph, screen_copy
from benchmarks.films import films as formats

PLATE = radiograph(0, rows=300, columns=250)
# 12-bit values behind pydicom's LUT functions, PNG and JPEG behind Pillow.
FILMS = [
    Encoded(name="raw", payload=plate_as(PLATE, formats.EXPLICIT), is_dicom=True),
    Encoded(name="RLE", payload=plate_as(PLATE, formats.RLE), is_dicom=True),
    Encoded(name="JPEG-LS", payload=plate_as(PLATE, formats.JPEG_LS), is_dicom=True),
    Encoded(name="JPEG 2000", payload=plate_as(PLATE, formats.JPEG_2000_LOSSLESS), is_dicom=True),
    Encoded(
        name="MONOCHROME1",
        payload=plate_as(4095 - PLATE, formats.EXPLICIT, PhotometricInterpretation="MONOCHROME1"),
        is_dicom=True,
    ),
    Encoded(name="PNG", payload=formats.png_film(screen_copy(0, side=256)), is_dicom=False),
    Encoded(name="PNG, 16 bit", payload=formats.png_film(PLATE << 4), is_dicom=False),
    Encoded(name="JPEG", payload=formats.jpeg_film(screen_copy(0, side=256)), is_dicom=False),
]


def theirs(film: Encoded) -> np.ndarray:
    return (usual.dicom_to_tensor if film.is_dicom else usual.raster_to_tensor)(film.payload, SIDE)


@pytest.mark.parametrize("film", FILMS, ids=lambda film: film.name)
def test_the_usual_way_and_ours_read_the_same_film(film: Encoded) -> None:
    require_same_film(film, theirs(film), our_tensor(film.payload))


def test_an_inverted_film_is_not_the_same_film() -> None:
    film = FILMS[0]
    with pytest.raises(NotTheSameFilm, match="raw"):
        require_same_film(film, theirs(film), 255 - our_tensor(film.payload))


def test_another_film_is_not_the_same_film() -> None:
    other = our_tensor(plate_as(radiograph(5, rows=300, columns=250)[::-1].copy(), formats.EXPLICIT))
    with pytest.raises(NotTheSameFilm):
        require_same_film(FILMS[0], theirs(FILMS[0]), other)


def test_the_same_seed_draws_the_same_film() -> None:
    assert np.array_equal(radiograph(3, rows=64, columns=48), radiograph(3, rows=64, columns=48))
    assert not np.array_equal(radiograph(3, rows=64, columns=48), radiograph(4, rows=64, columns=48))


def test_every_goal_belongs_to_a_format_that_is_measured() -> None:
    measured = {"raw CR", "JPEG lossless", "JPEG-LS", "RLE", "PNG 1024", "JPEG 1024"}
    assert set(GOALS) == measured
