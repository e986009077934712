"""The secondary capture: the film and its heat as they were kept, and words that no viewer can hide."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from pydicom import Dataset, dcmread

from services.dicom.files import overlay_file
from services.dicom.uids import ResultKind, result_uid, series_uid
from services.jobs.drawing import overlay_of
from services.jobs.errors import PictureGone
from tests.support.films import JPEG_LS_LOSSY
from tests.support.results import DIGEST, FILM_ID, NOTHING, SHA256, done_record, kept_pictures, source_of


def captured(rows: int = 300, columns: int = 500, **attributes: Any) -> Dataset:
    pictures = kept_pictures(rows, columns)
    return dcmread(io.BytesIO(overlay_file(done_record(), source_of(**attributes), *pictures, commit=1)))


def test_film_and_heat_are_drawn_as_they_were_kept_above_a_strip_of_words() -> None:
    pixels = captured().pixel_array
    drawn = overlay_of(*kept_pictures(300, 500), film=SHA256, model=DIGEST)
    assert (pixels[:300] == drawn).all()
    strip = pixels[300:]
    assert strip.shape[1:] == (500, 3)
    lines = np.flatnonzero(np.diff((strip.max(axis=(1, 2)) > 128).astype(int)) == 1)
    assert len(lines) == 2, "two lines of words"
    assert strip[:, :4].max() == strip[:, -4:].max() == 0, "whole words, cut off nowhere"


@pytest.mark.parametrize(("rows", "columns"), [(768, 768), (300, 120), (40, 768), (1, 1)])
def test_words_are_whole_whatever_the_films_shape(rows: int, columns: int) -> None:
    pixels = captured(rows, columns).pixel_array
    assert pixels.shape[1] == max(columns, 400)
    strip = pixels[rows:]
    assert strip.max() == 255
    assert strip[:, :4].max() == strip[:, -4:].max() == strip[-2:].max() == 0


def test_capture_says_what_it_is() -> None:
    capture = captured(StudyDescription="Thorax pa")
    assert capture.SOPClassUID == "1.2.840.10008.5.1.4.1.1.7"
    assert list(capture.ImageType[:2]) == ["DERIVED", "SECONDARY"]
    assert capture.BurnedInAnnotation == "YES"
    assert capture.SeriesDescription == "AI triage aid, not a diagnosis"
    assert capture.DerivationDescription == "Heat: what raised the score, not where disease is"
    assert (capture.Modality, capture.BodyPartExamined, capture.StudyDescription) == ("OT", "CHEST", "Thorax pa")
    assert "PixelSpacing" not in capture, "nobody measures in a preview"


def test_capture_lies_in_the_films_study_and_names_the_film() -> None:
    source, capture = source_of(), captured()
    assert capture.StudyInstanceUID == source.study_instance_uid
    assert capture.SeriesInstanceUID == series_uid(ResultKind.OVERLAY, FILM_ID)
    assert capture.SOPInstanceUID == result_uid(ResultKind.OVERLAY, FILM_ID, DIGEST, 1)
    (reference,) = capture.SourceImageSequence
    assert reference.ReferencedSOPInstanceUID == source.sop_instance_uid


def test_same_record_gives_the_same_bytes() -> None:
    record, source, pictures = done_record(), source_of(), kept_pictures()
    assert overlay_file(record, source, *pictures, commit=1) == overlay_file(record, source, *pictures, commit=1)


@pytest.mark.parametrize(
    ("attributes", "orientation", "laterality"),
    [
        ({}, [], "U"),
        ({"PatientOrientation": ["L", "F"]}, ["L", "F"], "U"),
        ({"PatientOrientation": ["LH", "FR"], "Laterality": "R"}, ["LH", "FR"], "R"),
        ({"PatientOrientation": ["L"], "ImageLaterality": "B"}, [], "B"),
        ({"PatientOrientation": ["X", "Y"], "Laterality": "X"}, [], "U"),
    ],
)
def test_orientation_is_the_films_or_empty_and_laterality_the_films_or_that_of_a_chest(
    attributes: dict[str, Any], orientation: list[str], laterality: str
) -> None:
    capture = captured(**attributes)
    assert list(capture.PatientOrientation or []) == orientation
    assert (capture.ImageLaterality, "Laterality" in capture) == (laterality, False)


def test_lossy_film_stays_lossy() -> None:
    assert captured(transfer_syntax=JPEG_LS_LOSSY).LossyImageCompression == "01"
    assert "LossyImageCompression" not in captured()
    stated = captured(
        LossyImageCompression="01", LossyImageCompressionRatio="9.5", LossyImageCompressionMethod="ISO_10918_1"
    )
    assert (float(stated.LossyImageCompressionRatio), stated.LossyImageCompressionMethod) == (9.5, "ISO_10918_1")


def test_patient_survives() -> None:
    capture = captured(SpecificCharacterSet=["", "ISO 2022 IR 87"], PatientName="Yamada^Tarou=山田^太郎")
    assert (capture.SpecificCharacterSet, str(capture.PatientName)) == ("ISO_IR 192", "Yamada^Tarou=山田^太郎")
    assert capture.PatientID == "PHANTOM"


def test_film_without_a_score_has_no_overlay() -> None:
    with pytest.raises(ValueError, match="no overlay"):
        overlay_file(done_record(**NOTHING), source_of(), *kept_pictures(), commit=1)


def test_pictures_of_another_film_are_not_drawn() -> None:
    preview, activation = kept_pictures()
    other = done_record(sha256="e" * 64)
    with pytest.raises(PictureGone):
        overlay_file(other, source_of(), preview, activation, commit=1)
