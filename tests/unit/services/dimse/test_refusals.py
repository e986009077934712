"""Refused associations in the audit trail: all are counted, few have a line."""

import json
from pathlib import Path

from services.dimse.refusals import Refusals
from services.jobs.ledger.trail import AuditTrail


def test_a_thousand_refusals_are_two_lines_that_count_them_all(tmp_path: Path) -> None:
    now = [0.0]
    trail = AuditTrail(tmp_path, "dimse")
    refusals = Refusals(trail, clock=lambda: now[0])
    refusals.note(source="127.0.0.1", code="calling_ae_unknown")
    for _ in range(998):
        refusals.note(source="127.0.0.1", code="calling_ae_unknown")
    now[0] = 60.0
    refusals.note(source="127.0.0.1", code="calling_ae_unknown")
    trail.start()
    trail.close()
    lines = [json.loads(line) for file in tmp_path.iterdir() for line in file.read_text().splitlines()]
    noted = [line for line in lines if line["event"] == "sign_in_failed"]
    assert [line["count"] for line in noted] == [1, 999]
    assert all(line["code"] == "calling_ae_unknown" and not line["success"] for line in noted)
