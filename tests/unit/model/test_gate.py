"""The gate's promises beyond the golden table: raster films, its order of reasons, and what counts as blank."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from model.decoding.header import Header, ImageFormat, with_claims
from model.decoding.inspect import inspect_header
from model.errors import CorruptImage, ImageError, LateralView, Reason, UnsuitableImage
from model.gate import GateSpec, gate_header, gate_image
from model.image import GrayImage
from tests.support import films

RASTER = Header(image_format=ImageFormat.PNG, rows=512, columns=512, bits_stored=8, samples_per_pixel=1)


def reason_for(header: Header, spec: GateSpec | None = None) -> Reason:
    with pytest.raises(UnsuitableImage) as refusal:
        gate_header(header, spec or GateSpec())
    return refusal.value.reason


def gray(pixels: np.ndarray) -> GrayImage:
    return GrayImage(pixels=pixels, black=0.0, white=255.0)


def raster_header(pixels: np.ndarray) -> Header:
    return Header(image_format=ImageFormat.PNG, rows=pixels.shape[0], columns=pixels.shape[1])


def test_raster_film_without_claims_passes() -> None:
    gate_header(RASTER, GateSpec())


def test_raster_claims_are_gated_like_attributes() -> None:
    gate_header(with_claims(RASTER, view="AP", age_years=40), GateSpec(is_age_required=True))
    assert reason_for(with_claims(RASTER, view="lateral")) is Reason.VIEW
    assert reason_for(with_claims(RASTER, age_years=17.9)) is Reason.AGE
    assert reason_for(with_claims(RASTER, age_years=121)) is Reason.AGE_UNKNOWN
    assert reason_for(RASTER, GateSpec(is_age_required=True)) is Reason.AGE_UNKNOWN


LEFT_LATERAL, LATERAL_OBLIQUE = "399173006", "260427002"


@pytest.mark.parametrize(
    "says",
    [
        {"view_position": "LL"},
        {"view_position": "RL", "patient_orientation": ("A", "F")},
        {"view_position": "LATERAL"},
        {"view_codes": (LEFT_LATERAL,)},
        {"patient_orientation": ("P", "F")},
    ],
    ids=str,
)
def test_lateral_is_told_from_other_views(says: dict[str, Any]) -> None:
    with pytest.raises(LateralView) as refusal:
        gate_header(replace(RASTER, **says), GateSpec())
    assert refusal.value.reason is Reason.VIEW


@pytest.mark.parametrize(
    "says",
    [
        {"view_position": "RLO"},
        {"view_position": "LLD"},
        {"view_position": "PA", "patient_orientation": ("A", "F")},
        {"view_position": "LL", "patient_orientation": ("L", "F")},
        {"view_position": "LL", "view_codes": (LATERAL_OBLIQUE,)},
        {"view_codes": (LATERAL_OBLIQUE,)},
        {"view_codes": (LEFT_LATERAL, LATERAL_OBLIQUE)},
        {"patient_orientation": ("R", "F")},
        {"patient_orientation": ("L", "H")},
        {"patient_orientation": ("AL", "F")},
        {"patient_orientation": ("A",)},
    ],
    ids=str,
)
def test_view_that_may_be_an_odd_frontal_is_no_lateral(says: dict[str, Any]) -> None:
    """Oblique, decubitus, mirrored, upside down or contradictory: nothing excuses that nobody judged it."""
    with pytest.raises(UnsuitableImage) as refusal:
        gate_header(replace(RASTER, **says), GateSpec())
    assert refusal.value.reason is Reason.VIEW
    assert not isinstance(refusal.value, LateralView)


@pytest.mark.parametrize(
    ("rows", "columns", "reason"),
    [
        (63, 512, Reason.TOO_SMALL),
        (512, 63, Reason.TOO_SMALL),
        (6001, 4000, Reason.TOO_LARGE),
        (5001, 5001, Reason.TOO_LARGE),
        (2**31 - 1, 2**31 - 1, Reason.TOO_LARGE),
        (100, 251, Reason.ASPECT),
        (251, 100, Reason.ASPECT),
    ],
)
def test_raster_film_of_an_odd_size_is_refused(rows: int, columns: int, reason: Reason) -> None:
    assert reason_for(Header(image_format=ImageFormat.JPEG, rows=rows, columns=columns)) is reason


@pytest.mark.parametrize(("rows", "columns"), [(64, 64), (6000, 4166), (5000, 5000), (100, 250), (250, 100)])
def test_the_limits_themselves_are_allowed(rows: int, columns: int) -> None:
    gate_header(Header(image_format=ImageFormat.JPEG, rows=rows, columns=columns), GateSpec())


def test_the_most_telling_reason_comes_first() -> None:
    """A small coloured CT of a child's knee in big endian: its encoding is all that is read of it, and so on."""
    everything = {
        "SOPClassUID": films.CT_STORAGE,
        "Modality": "CT",
        "BodyPartExamined": "KNEE",
        "ViewPosition": "LL",
        "PatientAge": "003Y",
        "PhotometricInterpretation": "RGB",
        "NumberOfFrames": 9,
        "Rows": 9,
    }
    order = [
        ("SOPClassUID", Reason.SOP_CLASS),
        ("Modality", Reason.MODALITY),
        ("BodyPartExamined", Reason.BODY_PART),
        ("ViewPosition", Reason.VIEW),
        ("PatientAge", Reason.AGE),
        ("PhotometricInterpretation", Reason.PHOTOMETRIC),
        ("NumberOfFrames", Reason.MULTI_FRAME),
        ("Rows", Reason.TOO_SMALL),
    ]
    big_endian = films.dicom_film(transfer_syntax=films.BIG_ENDIAN, **everything)
    assert reason_for(inspect_header(big_endian)) is Reason.TRANSFER_SYNTAX
    for keyword, reason in order:
        assert reason_for(inspect_header(films.dicom_film(**everything))) is reason
        del everything[keyword]
    gate_header(inspect_header(films.dicom_film(**everything)), GateSpec())


@pytest.mark.parametrize("value", [0, 128, 255])
def test_constant_film_is_blank(value: int) -> None:
    pixels = np.full((100, 100), value, np.uint8)
    with pytest.raises(UnsuitableImage) as refusal:
        gate_image(gray(pixels), raster_header(pixels))
    assert refusal.value.reason is Reason.BLANK


def test_constant_film_with_a_label_or_dust_on_it_is_blank() -> None:
    pixels = np.full((1000, 1000), 100, np.uint8)
    pixels[:60, :100] = 255  # 0.6 % of the film
    with pytest.raises(UnsuitableImage) as refusal:
        gate_image(gray(pixels), raster_header(pixels))
    assert refusal.value.reason is Reason.BLANK


def test_phantom_film_is_not_blank() -> None:
    pixels = films.phantom_pixels(bits=8)
    gate_image(gray(pixels), raster_header(pixels))
    told = GrayImage(pixels=255 - pixels, black=255.0, white=0.0)
    gate_image(told, raster_header(pixels))


def test_pixels_of_another_film_are_refused() -> None:
    pixels = films.phantom_pixels(bits=8)
    with pytest.raises(CorruptImage):
        gate_image(gray(pixels), raster_header(pixels[:-1]))


def test_gate_raises_image_errors_on_a_header_that_says_nothing() -> None:
    with pytest.raises(ImageError):
        gate_header(Header(image_format=ImageFormat.DICOM), GateSpec())
