"""R16: what may pass is tried again after 1, 5 and 25 s; what cannot pass ends at once."""

from __future__ import annotations

from itertools import pairwise
from typing import Final

import pytest

from tests.bar.conftest import MeasureRow
from tests.support.films import CT_STORAGE, JPEG_2000_LOSSLESS, dicom_film
from tests.support.gateway import wait_until
from tests.support.parts import Parts, mark_end, records, wait_done, wait_quiet
from tests.support.senders import numbered_films, send_all

WAITS_SECONDS: Final = (1.0, 5.0, 25.0)
TOLERANCE: Final = 0.2
# What promoting, decoding and batching take between the end of a wait and the next attempt, on a busy machine.
LATE_SECONDS: Final = 2.0
SECONDS: Final = 60.0


@pytest.mark.row
def test_transient_failures_are_tried_again_and_permanent_ones_are_not(parts: Parts, measure_row: MeasureRow) -> None:
    server = parts.server
    directions = parts.directions()
    directions.fail(len(WAITS_SECONDS))
    unsupported, damaged = dicom_film(SOPClassUID=CT_STORAGE), dicom_film(transfer_syntax=JPEG_2000_LOSSLESS)
    damaged = damaged.replace(b"\xff\x4f\xff\x51", b"\xff\x4f\x00\x00")  # SOC without SIZ: no codec can read it
    with measure_row("R16", "transient failures are retried, permanent ones are not") as row:
        with parts.gateway() as gateway, parts.worker(directed_by=directions):
            transient = send_all(gateway.url, numbered_films(1), seconds=SECONDS)
            wait_until(lambda: bool(directions.attempts()), seconds=SECONDS, what="the first attempt")
            permanent = send_all(gateway.url, [unsupported, damaged], seconds=SECONDS)
            wait_done(gateway.url, permanent, seconds=SECONDS)
            wait_done(gateway.url, transient, seconds=SECONDS)
            found = records(gateway.url, [one.film_id for one in (*transient, *permanent)])
            wait_quiet(server, seconds=SECONDS)
            mark_end(row, server, gateway.url, [*transient, *permanent], scored=len(transient))
        attempts = directions.attempts()
        row.note("machine_may_be_late_by_s", LATE_SECONDS)
        row.mark("attempts", len(attempts), exactly=1 + len(WAITS_SECONDS))
        for wanted, (begin, end) in zip(WAITS_SECONDS, pairwise(attempts), strict=False):
            row.mark(
                f"wait_of_{wanted:g}_s",
                round(end - begin, 2),
                at_least=wanted * (1 - TOLERANCE),
                at_most=wanted * (1 + TOLERANCE) + LATE_SECONDS,
            )
        for one, name, reason in zip(permanent, ("sop_class", "damaged"), ("sop_class", "decode_error"), strict=True):
            record = found[one.film_id]
            row.mark(f"{name}_ms", record["timings_ms"]["total"], at_most=1000)
            row.mark(f"{name}_attempts", record["attempts"], exactly=1)
            row.mark(f"{name}_ends_with_its_reason", record["reason"] == reason, exactly=True)
