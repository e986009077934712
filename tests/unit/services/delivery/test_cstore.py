from __future__ import annotations

import pytest

pytest.importorskip("pynetdicom", reason="the extra [dicom] is not installed")

from pydicom import Dataset
from pynetdicom import AE
from pynetdicom.association import Association

from services.delivery.cstore import store, verdict_of
from services.delivery.verdicts import Delivered, Failed, Refused, Verdict


@pytest.mark.parametrize(
    ("code", "verdict"),
    [
        (0x0000, Delivered()),
        (0x0111, Delivered()),  # Duplicate SOP Instance: it has it
        (0xB000, Delivered()),
        (0xB006, Delivered()),
        (0xB007, Delivered()),
        (0xB123, Delivered()),  # a warning of the vendor's own
        (0x0110, Failed(reason="cstore_0110")),
        (0x0124, Failed(reason="cstore_0124")),
        (0xA700, Failed(reason="cstore_a700")),
        (0xA7FF, Failed(reason="cstore_a7ff")),
        (0x0122, Refused(reason="cstore_0122")),
        (0xA900, Refused(reason="cstore_a900")),
        (0xC000, Refused(reason="cstore_c000")),
    ],
)
def test_a_status_is_a_success_a_refusal_or_a_failure(code: int, verdict: Verdict) -> None:
    status = Dataset()
    status.Status = code
    assert verdict_of(status) == verdict


def test_an_association_that_is_lost_has_no_status_and_is_tried_again() -> None:
    assert verdict_of(Dataset()) == Failed(reason="association_lost")


def test_an_association_that_ended_since_the_object_before_is_tried_again() -> None:
    assert store(Association(AE(), "requestor"), Dataset()) == Failed(reason="association_lost")
