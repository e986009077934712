"""UIDs of results: functions of what they speak of, the same for ever."""

from __future__ import annotations

import uuid

import pytest
from pydicom.uid import UID

from services.dicom.uids import ResultKind, device_uid, result_uid, series_uid, tracking_uid

FILM, MODEL = "a" * 32, "d" * 64


def test_uids_are_those_of_yesterday() -> None:
    """A changed derivation would double every object at every target: these never change."""
    assert result_uid(ResultKind.REPORT, FILM, MODEL, 1) == "2.25.4679944286905186362003821642513635026"
    assert result_uid(ResultKind.OVERLAY, FILM, MODEL, 1) == "2.25.120365604215450103694650963825925013225"
    assert series_uid(ResultKind.REPORT, FILM) == "2.25.143954611513711797440165017651972471971"
    assert tracking_uid(FILM) == "2.25.130542368118660300362535708656985541672"
    assert device_uid(MODEL) == "2.25.103016589339917025762812291070055496592"


def test_every_part_makes_another_uid() -> None:
    uids = [
        *(result_uid(kind, FILM, MODEL, 1) for kind in ResultKind),
        *(series_uid(kind, FILM) for kind in ResultKind),
        result_uid(ResultKind.REPORT, FILM, MODEL, 2),
        result_uid(ResultKind.REPORT, FILM, "", 1),
        result_uid(ResultKind.REPORT, "b" * 32, MODEL, 1),
        tracking_uid(FILM),
        device_uid(MODEL),
        device_uid(""),
    ]
    assert len(set(uids)) == len(uids)


@pytest.mark.parametrize("commit", range(1, 50))
def test_uids_are_legal_and_hold_a_uuid(commit: int) -> None:
    uid = UID(result_uid(ResultKind.REPORT, FILM, MODEL, commit))
    assert uid.is_valid
    assert uuid.UUID(int=int(uid.rpartition(".")[2])).version == 4
