"""The golden table: each synthetic DICOM film ends as the standard and DESIGN §6 say, pixel by pixel."""

from __future__ import annotations

import numpy as np
import pytest

from model.decoding.decode import decode
from model.decoding.header import Header
from model.decoding.inspect import inspect_header
from model.errors import ImageError, Reason
from model.gate import gate_header, gate_image
from model.image import GrayImage
from tests.golden.dicom_cases import CASES, Case
from tests.support.films import display

# DESIGN §6: what a header alone can tell.
HEADER_REASONS = {
    *(Reason.NO_PIXEL_DATA, Reason.TRANSFER_SYNTAX, Reason.SOP_CLASS, Reason.MODALITY, Reason.BODY_PART, Reason.VIEW),
    *(Reason.AGE, Reason.AGE_UNKNOWN, Reason.PHOTOMETRIC, Reason.MULTI_FRAME, Reason.FOR_PROCESSING, Reason.DERIVED),
    *(Reason.QUALITY_CONTROL, Reason.TOO_SMALL, Reason.TOO_LARGE, Reason.ASPECT, Reason.INVERTED),
}


def judge(payload: bytes, header: Header, case: Case) -> GrayImage:
    gate_header(header, case.spec)
    image = decode(payload, header)
    gate_image(image, header)
    return image


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_film_ends_as_the_golden_table_says(case: Case) -> None:
    payload = case.payload()
    header = inspect_header(payload)
    if case.reason is not None:
        with pytest.raises(ImageError) as refusal:
            judge(payload, header, case)
        assert refusal.value.reason is case.reason
        return
    image = judge(payload, header, case)
    shown = display(image)
    assert shown.shape == (64, 64)
    # Two columns in from each edge of a band: lossy codecs may ring there, lossless rows are checked whole below.
    for index, expected in enumerate(case.shown or ()):
        np.testing.assert_allclose(shown[:, 16 * index + 4 : 16 * index + 12], expected, atol=case.tolerance)
    if case.tolerance <= 1e-3:
        np.testing.assert_array_equal(shown, np.repeat(shown[:1, ::16], 16, axis=1).repeat(64, axis=0))
    assert image.pixel_aspect == pytest.approx(case.pixel_aspect)


def test_golden_table_covers_every_reason_that_a_header_can_give() -> None:
    assert {case.reason for case in CASES} >= HEADER_REASONS


def test_golden_table_names_each_film_once() -> None:
    names = [case.name for case in CASES]
    assert len(names) == len(set(names)) >= 60
