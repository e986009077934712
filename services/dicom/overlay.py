"""A film with its heat over it as a secondary capture, for viewers that show no structured report. By highdicom.

The words that it is no diagnosis are drawn into the picture, in a strip of their own below the film: a viewer may hide
every attribute, and no anatomy is hidden. What is drawn is the preview, not the film: nobody can measure in it.
"""

from __future__ import annotations

from typing import Any, Final

import cv2
import numpy as np
from highdicom.sc import SCImage
from highdicom.sr import CodedConcept
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import ExplicitVRLittleEndian

from model.decoding.source_attributes import SourceAttributes
from services.dicom.authorship import authorship_of, sign
from services.dicom.source import evidence_of
from services.dicom.uids import ResultKind
from services.dicom.vocabulary import DISCLAIMER
from services.jobs.drawing import overlay_of
from services.jobs.records import Record

_EXPLANATION: Final = "Heat: what raised the score, not where disease is"
_FONT: Final = cv2.FONT_HERSHEY_SIMPLEX
# Narrower than that, the words could not be read; the film is centred then.
_LEAST_WIDTH: Final = 400
_MARGIN: Final = 8
_WHITE: Final = (255, 255, 255)
# Something legal for highdicom, which demands one and knows fewer than there are; the film's own replaces it.
_ANY_ORIENTATION: Final = ("L", "F")
# PS3.3 C.7.6.1. What is scored was taken for a chest, of which there is one.
_UNPAIRED: Final = "U"
_LATERALITIES: Final = ("L", "R", "B", _UNPAIRED)


def build_overlay(
    record: Record, source: SourceAttributes, preview: bytes, activation: bytes, *, commit: int
) -> Dataset:
    """Return the secondary capture of a scored film, in the film's study; the same bytes for the same arguments.

    Parameters
    ----------
    record
        A film that was scored; ``ValueError`` otherwise: nothing explains a score that there is not.
    preview, activation
        As they were kept beside the payload.
    commit
        Which of the film's decisions this is, from 1.

    Raises
    ------
    PictureGone
        If either is not what was kept of this film and model.
    """
    if record.model is None or record.outcome is None or not record.outcome.is_scored:
        raise ValueError("a film without a score has no overlay")
    drawn = overlay_of(preview, activation, film=record.sha256, model=record.model.digest)
    authorship = authorship_of(ResultKind.OVERLAY, record, source, commit=commit)
    evidence = evidence_of(source)
    capture = SCImage.from_ref_dataset(
        evidence,
        pixel_array=with_words(drawn),
        photometric_interpretation="RGB",
        bits_allocated=8,
        coordinate_system="PATIENT",
        patient_orientation=_ANY_ORIENTATION,
        transfer_syntax_uid=ExplicitVRLittleEndian,
        **authorship.arguments(),
    )
    capture.DateOfSecondaryCapture, capture.TimeOfSecondaryCapture = capture.ContentDate, capture.ContentTime
    capture.copy_patient_and_study_information(evidence)
    _say_what_it_is(capture, source)
    sign(capture, authorship, source)
    return capture


def with_words(drawn: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return a picture, ``(rows, columns, 3)`` uint8 RGB, above a black strip that says what it is not."""
    width = max(drawn.shape[1], _LEAST_WIDTH)
    left = (width - drawn.shape[1]) // 2
    scale = _scale_for(width - 2 * _MARGIN)
    line_height = round(32 * scale) + _MARGIN
    canvas = np.zeros((drawn.shape[0] + 2 * line_height + _MARGIN, width, 3), dtype=np.uint8)
    canvas[: drawn.shape[0], left : left + drawn.shape[1]] = drawn
    for number, words in enumerate((DISCLAIMER, _EXPLANATION), start=1):
        baseline = drawn.shape[0] + number * line_height
        cv2.putText(canvas, words, (_MARGIN, baseline), _FONT, scale, _WHITE, 1, cv2.LINE_AA)
    return canvas


def _scale_for(width: int) -> float:
    """Return the size of letters at which the longest line fills a width."""
    (unscaled, _), _ = cv2.getTextSize(_EXPLANATION, _FONT, 1.0, 1)
    return float(width / unscaled)


def _say_what_it_is(capture: Any, source: SourceAttributes) -> None:
    """Add what highdicom leaves unsaid and a validator or a reader asks for (PS3.3 C.7.6.1)."""
    capture.BurnedInAnnotation = "YES"
    capture.DerivationDescription = _EXPLANATION
    capture.PatientOrientation = list(source.patient_orientation) or ""
    if source.body_part:
        capture.BodyPartExamined = source.body_part
    # Of the image: that of the series may not be there for a chest, and must be for what is not known (PS3.3 C.7.3.1).
    capture.ImageLaterality = source.laterality if source.laterality in _LATERALITIES else _UNPAIRED
    if source.is_lossy:
        capture.LossyImageCompression = "01"
        if source.lossy_ratios and len(source.lossy_ratios) == len(source.lossy_methods):
            capture.LossyImageCompressionRatio = list(source.lossy_ratios)
            capture.LossyImageCompressionMethod = list(source.lossy_methods)
    capture.SourceImageSequence = [_reference_to(source)]


def _reference_to(source: SourceAttributes) -> Dataset:
    reference = Dataset()
    reference.ReferencedSOPClassUID = source.sop_class_uid
    reference.ReferencedSOPInstanceUID = source.sop_instance_uid
    reference.PurposeOfReferenceCodeSequence = [
        CodedConcept.from_code(codes.DCM.SourceImageForImageProcessingOperation)
    ]
    return reference
