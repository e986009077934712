"""What a file says of itself without its pixels."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from model.demographics import OLDEST_YEARS


class ImageFormat(StrEnum):
    """The three formats a film may arrive in; the value is its media type."""

    DICOM = "application/dicom"
    PNG = "image/png"
    JPEG = "image/jpeg"


@dataclass(frozen=True, kw_only=True)
class Header:
    """Format, size and identifiers of a film, and the attributes that the gate asks for.

    Raster files fill ``image_format``, ``rows``, ``columns``, ``bits_stored``, ``samples_per_pixel`` and
    ``has_pixel_data``; ``with_claims`` adds what the caller says of them. Absent attributes are ``None`` or empty,
    never a guess. No patient name, identifier or date is kept.
    """

    image_format: ImageFormat
    rows: int | None = None
    columns: int | None = None
    bits_stored: int | None = None
    samples_per_pixel: int | None = None
    number_of_frames: int = 1
    has_pixel_data: bool = True
    transfer_syntax_uid: str | None = None
    sop_class_uid: str | None = None
    sop_instance_uid: str | None = None
    study_instance_uid: str | None = None
    modality: str | None = None
    photometric_interpretation: str | None = None
    presentation_intent: str | None = None
    presentation_lut_shape: str | None = None
    body_part: str | None = None
    anatomic_region_codes: tuple[str, ...] = ()
    view_position: str | None = None
    view_codes: tuple[str, ...] = ()
    patient_orientation: tuple[str, ...] = ()
    image_type: tuple[str, ...] = ()
    is_quality_control: bool = False
    pixel_aspect: float = 1.0
    age_years: float | None = None
    age_is_contradictory: bool = False
    sex: str | None = None


def with_claims(
    header: Header, *, view: str | None = None, age_years: float | None = None, sex: str | None = None
) -> Header:
    """Return a raster film's header with what its sender says of it; a DICOM header comes back as it is.

    A DICOM file speaks for itself, and a claim must not outvote it. An age that nobody reaches, or below zero, makes
    the age contradictory, as it does in DICOM.
    """
    if header.image_format is ImageFormat.DICOM:
        return header
    return replace(
        header,
        view_position=view.strip().upper() or None if view is not None else None,
        age_years=age_years,
        age_is_contradictory=age_years is not None and not 0 <= age_years <= OLDEST_YEARS,
        sex=sex.strip().upper() or None if sex is not None else None,
    )
