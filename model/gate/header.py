"""The first door: what a header alone can refuse, before any pixel is decoded. Knows headers, nothing else."""

from __future__ import annotations

from typing import Final

from pydantic import BaseModel, ConfigDict, Field

from model.decoding.header import Header, ImageFormat
from model.decoding.transfer_syntaxes import JUDGED_TRANSFER_SYNTAXES
from model.errors import LateralView, Reason, UnsuitableImage

# PS3.4 B.5: Computed Radiography, and Digital X-Ray for presentation.
_JUDGED_SOP_CLASSES: Final = frozenset({"1.2.840.10008.5.1.4.1.1.1", "1.2.840.10008.5.1.4.1.1.1.1"})
_DX_FOR_PROCESSING: Final = "1.2.840.10008.5.1.4.1.1.1.1.1"
_JUDGED_MODALITIES: Final = frozenset({"CR", "DX"})
_CHEST: Final = frozenset({"CHEST", "THORAX"})
# SNOMED CT and the older SRT codes of chest and thorax (PS3.16 CID 4009, CID 4031).
_CHEST_CODES: Final = frozenset({"51185008", "816094009", "T-D3000"})
_FRONTAL: Final = frozenset({"PA", "AP"})
# LLD and RLD are not among them: a decubitus film is a frontal one.
_LATERAL: Final = frozenset({"LL", "RL", "LATERAL"})
# postero-anterior, antero-posterior (PS3.16 CID 4010), SNOMED CT and SRT.
_FRONTAL_CODES: Final = frozenset({"272479007", "399348003", "R-40888", "R-10214", "R-10206"})
# lateral, left lateral, right lateral (PS3.16 CID 4010), SNOMED CT.
_LATERAL_CODES: Final = frozenset({"399067008", "399173006", "399198007"})
_SMALLEST_SIDE: Final = 64
_LARGEST_SIDE: Final = 6_000
_MOST_PIXELS: Final = 25_000_000
_LARGEST_RATIO: Final = 2.5


class GateSpec(BaseModel):
    """What a site lets through. Everything that is not here is the same for every site (DESIGN §6, PROTOCOLS §3)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    minimum_age_years: float = Field(default=18.0, ge=0, le=120)
    is_age_required: bool = False


def gate_header(header: Header, spec: GateSpec) -> None:
    """Return if the header allows judging; reads no pixels.

    Asks first what kind of object this is, then whom and what it shows, then how it is stored, so that the reason is
    the most telling one: a CT slice is ``sop_class``, not ``too_small``.

    Raises
    ------
    UnsuitableImage
        With the reason; every one of DESIGN §6 that a header can tell. ``LateralView`` where it is certainly a lateral.
    """
    if header.image_format is ImageFormat.DICOM:
        _gate_kind(header)
        _gate_body_part(header)
    _gate_view(header)
    _gate_age(header, spec)
    if header.image_format is ImageFormat.DICOM:
        _gate_storage(header)
    _gate_size(header)


def _refuse(reason: Reason, detail: str) -> UnsuitableImage:
    return UnsuitableImage(reason, detail)


def _gate_kind(header: Header) -> None:
    if header.transfer_syntax_uid not in JUDGED_TRANSFER_SYNTAXES:  # (0002,0010), DESIGN §6
        raise _refuse(Reason.TRANSFER_SYNTAX, "deflated, big endian, video or unknown transfer syntax")
    # (0008,0068) Presentation Intent Type, PS3.3 C.8.11.1: raw detector data has no agreed gray scale.
    if header.sop_class_uid == _DX_FOR_PROCESSING or header.presentation_intent == "FOR PROCESSING":
        raise _refuse(Reason.FOR_PROCESSING, "an image for processing, not for presentation")
    if header.sop_class_uid not in _JUDGED_SOP_CLASSES:  # (0008,0016)
        raise _refuse(Reason.SOP_CLASS, "neither Computed Radiography nor Digital X-Ray storage")
    if header.modality not in _JUDGED_MODALITIES:  # (0008,0060)
        raise _refuse(Reason.MODALITY, "neither CR nor DX")
    if header.is_quality_control:  # (0028,0300) Quality Control Image: a phantom
        raise _refuse(Reason.QUALITY_CONTROL, "a quality control image")
    # (0008,0008) values 1 and 2, PS3.3 C.7.6.1.1.2. By words: some writers put a blank where the backslash belongs.
    # DERIVED\PRIMARY passes: lossy compression must write it, and so do detectors whose presentation image stems from
    # the raw one (docs/decisions/0005-derived-primary.md).
    kinds = set(" ".join(header.image_type[:2]).split())
    if "SECONDARY" in kinds or ("DERIVED" in kinds and "PRIMARY" not in kinds):
        raise _refuse(Reason.DERIVED, "a derived or secondary image")
    if not header.has_pixel_data:  # (7FE0,0010)
        raise _refuse(Reason.NO_PIXEL_DATA, "no Pixel Data")


def _gate_body_part(header: Header) -> None:
    # (0018,0015): of several, each must be the chest; empty goes on to the pixels.
    parts = set(header.body_part.split("\\")) - {""} if header.body_part else set()
    if not parts <= _CHEST:
        raise _refuse(Reason.BODY_PART, "Body Part Examined is not the chest")
    if not set(header.anatomic_region_codes) <= _CHEST_CODES:  # (0008,2218)
        raise _refuse(Reason.BODY_PART, "Anatomic Region is not the chest")


def _gate_view(header: Header) -> None:
    if _is_lateral(header):
        raise LateralView(Reason.VIEW, "a lateral film")
    if header.view_position is not None and header.view_position not in _FRONTAL:  # (0018,5101), or a claim
        raise _refuse(Reason.VIEW, "View Position is neither PA nor AP")
    if not set(header.view_codes) <= _FRONTAL_CODES:  # (0054,0220)
        raise _refuse(Reason.VIEW, "View Code is neither postero-anterior nor antero-posterior")
    # (0020,0020), PS3.3 C.7.6.1.1.1: rows run to the patient's left, columns to the feet. Anterior or posterior
    # first is a lateral; right or head first is mirrored or upside down.
    orientation = header.patient_orientation
    if orientation and not (len(orientation) == 2 and orientation[0][:1] == "L" and orientation[1][:1] == "F"):
        raise _refuse(Reason.VIEW, "Patient Orientation is not that of an upright frontal film")


def _is_lateral(header: Header) -> bool:
    """Return whether the header says that this is a lateral, and says so wherever it speaks of the view."""
    says = []
    if header.view_position is not None:  # (0018,5101), (0054,0220), (0020,0020); see _gate_view
        says.append(header.view_position in _LATERAL)
    if header.view_codes:
        says.append(set(header.view_codes) <= _LATERAL_CODES)
    if header.patient_orientation:
        says.append(header.patient_orientation in {("A", "F"), ("P", "F")})
    return bool(says) and all(says)


def _gate_age(header: Header, spec: GateSpec) -> None:
    # (0010,1010), (0010,0030) with (0008,0020), or a claim.
    if header.age_is_contradictory:
        raise _refuse(Reason.AGE_UNKNOWN, "the stated ages contradict each other or nobody reaches them")
    if header.age_years is None:
        if spec.is_age_required:
            raise _refuse(Reason.AGE_UNKNOWN, "no age is stated and the site demands one")
    elif header.age_years < spec.minimum_age_years:
        raise _refuse(Reason.AGE, "younger than the site's minimum age")


def _gate_storage(header: Header) -> None:
    photometric = header.photometric_interpretation
    # (0028,0004) Photometric Interpretation, (0028,0002) Samples per Pixel
    if photometric not in ("MONOCHROME1", "MONOCHROME2") or header.samples_per_pixel != 1:
        raise _refuse(Reason.PHOTOMETRIC, "neither MONOCHROME1 nor MONOCHROME2")
    if header.number_of_frames != 1:  # (0028,0008)
        raise _refuse(Reason.MULTI_FRAME, "more or fewer frames than one")
    # (2050,0020) Presentation LUT Shape, PS3.3 C.8.11.3: which of the two tells the truth?
    if (photometric, header.presentation_lut_shape) in {("MONOCHROME2", "INVERSE"), ("MONOCHROME1", "IDENTITY")}:
        raise _refuse(Reason.INVERTED, "Presentation LUT Shape contradicts Photometric Interpretation")


def _gate_size(header: Header) -> None:
    if header.rows is None or header.columns is None:
        return  # a data set without (0028,0010) and (0028,0011) fails in decode, as corrupt
    if min(header.rows, header.columns) < _SMALLEST_SIDE:
        raise _refuse(Reason.TOO_SMALL, "fewer than 64 pixels on a side")
    if max(header.rows, header.columns) > _LARGEST_SIDE or header.rows * header.columns > _MOST_PIXELS:
        raise _refuse(Reason.TOO_LARGE, "more than 6000 pixels on a side or 25 megapixels")
    ratio = header.rows * header.pixel_aspect / header.columns  # (0028,0030), (0018,1164), (0028,0034)
    if not 1 / _LARGEST_RATIO <= ratio <= _LARGEST_RATIO:
        raise _refuse(Reason.ASPECT, "longer than 2.5 times its width, or the reverse")
