"""What a STOW-RS answer means, in the dialects that PROTOCOLS §1 has seen."""

from __future__ import annotations

import json
from typing import Any

import pytest

from services.delivery.http import Reply
from services.delivery.stow import multipart, verdict_of
from services.delivery.verdicts import Delivered, Failed, Refused, Verdict

STORED = {"00081199": {"vr": "SQ", "Value": [{"00081155": {"vr": "UI", "Value": ["1.2.3"]}}]}}


def failed(*reasons: int, sequence: str = "00081198") -> dict[str, Any]:
    return {sequence: {"vr": "SQ", "Value": [{"00081197": {"vr": "US", "Value": [reason]}} for reason in reasons]}}


def reply(status: int, module: object = None, **headers: str) -> Reply:
    body = b"" if module is None else json.dumps(module).encode()
    return Reply(status=status, headers={name.replace("_", "-"): text for name, text in headers.items()}, body=body)


@pytest.mark.parametrize(
    ("answer", "verdict"),
    [
        (reply(200, STORED), Delivered()),
        (reply(200), Delivered()),  # no body to read; the status alone says that all are stored
        (reply(200, [STORED]), Delivered()),
        (reply(200, content_type="text/html; charset=utf-8"), Failed(reason="no_dicomweb_server")),
        (reply(202, STORED), Delivered()),  # warnings only
        (reply(202, STORED | failed(0x0110)), Failed(reason="stow_0110")),
        (reply(200, STORED | failed(0xA700)), Failed(reason="stow_a700")),
        (reply(202, STORED | failed(0x0124)), Failed(reason="stow_0124")),  # not authorised: somebody mends that
        (reply(202, STORED | failed(0x0122)), Refused(reason="stow_0122")),
        (reply(409, failed(0xA700, 0xA900)), Refused(reason="stow_a900")),
        (reply(409, failed(0xC000, sequence="0008119A")), Refused(reason="stow_c000")),
        (reply(409, failed(0x0111)), Delivered()),  # Duplicate SOP Instance
        (reply(409, failed(45070, 45070)), Delivered()),  # Azure: already there
        (reply(409, failed(45070, 0xA700)), Failed(reason="stow_a700")),
        (reply(409, {"00081198": {"vr": "SQ", "Value": [{}]}}), Refused(reason="stow_0000")),
        (reply(409, {"00081198": {"vr": "SQ", "Value": [{"00081197": "x"}]}}), Refused(reason="stow_0000")),
        (reply(409), Refused(reason="http_409")),
        (reply(409, {}), Refused(reason="http_409")),
        (reply(202), Failed(reason="http_202")),  # something was not stored, and nobody says what
        (reply(400), Refused(reason="http_400")),
        (reply(413), Refused(reason="http_413")),
        (reply(401), Failed(reason="http_401")),  # a credential that somebody mends
        (reply(404), Failed(reason="http_404")),
        (reply(302, location="http://elsewhere/"), Failed(reason="http_302")),
        (reply(500), Failed(reason="http_500")),
        (reply(503, retry_after="17"), Failed(reason="http_503", wait_seconds=17.0)),
        (reply(503, retry_after="Wed, 21 Oct 2015 07:28:00 GMT"), Failed(reason="http_503")),
        (reply(503, retry_after="soon"), Failed(reason="http_503")),
    ],
)
def test_an_answer_is_a_success_a_refusal_or_a_failure(answer: Reply, verdict: Verdict) -> None:
    assert verdict_of(answer) == verdict


def test_a_reply_that_is_too_long_or_no_json_is_judged_by_its_status() -> None:
    assert verdict_of(Reply(status=200, headers={}, body=None)) == Delivered()
    assert verdict_of(Reply(status=409, headers={}, body=b"<html>" * 100)) == Refused(reason="http_409")
    assert verdict_of(Reply(status=409, headers={}, body=b"[" * 100_000)) == Refused(reason="http_409")


def test_a_body_has_each_object_as_a_part_of_its_own() -> None:
    assert multipart([b"one\r\n", b"two"], "edge") == (
        b"--edge\r\nContent-Type: application/dicom\r\n\r\none\r\n\r\n"
        b"--edge\r\nContent-Type: application/dicom\r\n\r\ntwo\r\n"
        b"--edge--\r\n"
    )
