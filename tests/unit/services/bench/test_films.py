"""Stamped films are other films with the same pixels."""

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.filebase import DicomBytesIO

from model.decoding.decode import decode
from model.decoding.inspect import inspect_header
from services.bench.films import CannotStamp, FilmKind, Films, drawn_films, films_of, template_of
from tests.support.films import JPEG_LOSSLESS, dicom_film, jpeg_film, png_film
from tests.support.shared_data import shared_data


@pytest.mark.parametrize(
    "payload",
    [png_film(), jpeg_film(), dicom_film(), dicom_film(transfer_syntax=JPEG_LOSSLESS)],
    ids=["png", "jpeg", "dicom", "encapsulated"],
)
def test_stamped_film_differs_in_its_bytes_and_in_no_pixel(payload: bytes) -> None:
    films = Films([template_of(payload)])
    (kind, first), (_, second) = films.film(0), films.film(1)
    assert len({payload, first, second}) == 3
    assert films.film(0) == (kind, first)
    shown = [decode(film, inspect_header(film)) for film in (payload, first, second)]
    assert kind == inspect_header(payload).image_format
    assert all(np.array_equal(shown[0].pixels, other.pixels) for other in shown[1:])


def test_another_run_sends_other_films() -> None:
    template = template_of(png_film())
    assert Films([template]).film(0) != Films([template]).film(0)


def test_every_dicom_film_is_an_instance_and_a_study_of_its_own_with_legal_uids() -> None:
    films = Films([template_of(dicom_film())])
    read = [dcmread(DicomBytesIO(films.film(number)[1])) for number in range(3)]
    assert len({film.SOPInstanceUID for film in read}) == len({film.StudyInstanceUID for film in read}) == 3
    assert all(film.file_meta.MediaStorageSOPInstanceUID == film.SOPInstanceUID for film in read)
    assert all(film.SOPInstanceUID.is_valid and film.StudyInstanceUID.is_valid for film in read)


def test_instance_whose_uid_begins_with_its_study_s_is_cut_in_the_right_places() -> None:
    study = "1.2.826.0.1.3680043.8.498.1234567890"
    payload = dicom_film(StudyInstanceUID=study, SeriesInstanceUID=f"{study}.1", SOPInstanceUID=f"{study}.1.1")
    films = Films([template_of(payload)])
    first, second = (dcmread(DicomBytesIO(films.film(number)[1])) for number in range(2))
    assert first.SOPInstanceUID == first.file_meta.MediaStorageSOPInstanceUID
    assert len(first.SOPInstanceUID) == len(f"{study}.1.1")
    assert first.SOPInstanceUID != second.SOPInstanceUID
    assert first.StudyInstanceUID != second.StudyInstanceUID
    assert np.array_equal(first.pixel_array, dcmread(DicomBytesIO(payload)).pixel_array)


@pytest.mark.parametrize("payload", [b"a letter", dicom_film(SOPInstanceUID="1.2.3", StudyInstanceUID="1.2")])
def test_file_of_which_there_can_be_no_second_one_is_refused(payload: bytes) -> None:
    with pytest.raises(CannotStamp):
        template_of(payload)


@pytest.mark.parametrize("kind", [FilmKind.PNG, FilmKind.JPEG])
def test_drawn_films_are_of_their_kind_and_differ(kind: FilmKind) -> None:
    templates = drawn_films(kind)
    payloads = [template.stamped("1" * 17) for template in templates]
    assert len(set(payloads)) == len(payloads) > 1
    assert {inspect_header(payload).image_format for payload in payloads} == {f"image/{kind}"}


def test_real_dicom_films_can_be_stamped() -> None:
    paths = sorted(shared_data("dicom", "chest_radiograph").rglob("*.dcm"))[:5]
    films = Films(films_of(paths))
    for number, path in enumerate(paths):
        before, after = path.read_bytes(), films.film(number)[1]
        assert after != before
        one, other = (decode(payload, inspect_header(payload)) for payload in (before, after))
        assert np.array_equal(one.pixels, other.pixels)
