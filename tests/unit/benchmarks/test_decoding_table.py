"""Table (a) compares two ways that read the same film; the time of a wrong answer is no figure."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.decoding import GOALS, NotTheSameFilm, require_same_film
from benchmarks.decoding_side import Side, Way, allocator_settings, our_tensor, usual_tensor
from benchmarks.films import Encoded, plate_as, radiograph, screen_copy
from benchmarks.films import films as formats
from services.worker.decoding.nursery import MEMORY_IS_KEPT

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


@pytest.mark.parametrize("film", FILMS, ids=lambda film: film.name)
def test_the_usual_way_and_ours_read_the_same_film(film: Encoded) -> None:
    require_same_film(film, usual_tensor(film), our_tensor(film.payload))


def test_an_inverted_film_is_not_the_same_film() -> None:
    film = FILMS[0]
    with pytest.raises(NotTheSameFilm, match="raw"):
        require_same_film(film, usual_tensor(film), 255 - our_tensor(film.payload))


def test_another_film_is_not_the_same_film() -> None:
    other = our_tensor(plate_as(radiograph(5, rows=300, columns=250)[::-1].copy(), formats.EXPLICIT))
    with pytest.raises(NotTheSameFilm):
        require_same_film(FILMS[0], usual_tensor(FILMS[0]), other)


def test_the_same_seed_draws_the_same_film() -> None:
    assert np.array_equal(radiograph(3, rows=64, columns=48), radiograph(3, rows=64, columns=48))
    assert not np.array_equal(radiograph(3, rows=64, columns=48), radiograph(4, rows=64, columns=48))


def test_every_goal_belongs_to_a_format_that_is_measured() -> None:
    measured = {"raw CR", "JPEG lossless", "JPEG-LS", "RLE", "PNG 1024", "JPEG 1024"}
    assert set(GOALS) == measured


def test_either_side_reads_the_film_in_a_process_of_its_own() -> None:
    with Side(Way.USUAL) as usual_side, Side(Way.OURS) as our_side:
        for film in (FILMS[0], FILMS[-1]):
            assert np.array_equal(usual_side.open(film), usual_tensor(film))
            assert np.array_equal(our_side.open(film), our_tensor(film.payload))
            assert usual_side.processor_ms(Way.USUAL) > 0
            assert our_side.processor_ms(Way.OURS) > 0
            assert our_side.processor_ms(Way.CHILD) > 0


def test_the_usual_way_keeps_the_default_allocator_whatever_the_caller_has() -> None:
    inherited = {"PATH": "/bin", "MALLOC_ARENA_MAX": "1", **MEMORY_IS_KEPT}
    assert allocator_settings(Way.USUAL, inherited) == {"PATH": "/bin"}
    assert allocator_settings(Way.OURS, inherited) == {"PATH": "/bin", **MEMORY_IS_KEPT}
