"""S3: bytes that change after they were accepted are noticed before they are decoded."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import Final

import numpy as np
import pytest

from services.jobs import keys
from tests.bar.conftest import MeasureRow
from tests.support.films import dicom_film
from tests.support.invariant import mark_safe
from tests.support.mutants import JUDGED
from tests.support.parts import Parts, backlog, records, wait_done
from tests.support.senders import Sent, accepted, http_client, numbered_films, send_all

FILMS: Final = 200
MISDECLARED: Final = 20
SEED: Final = 3
_SECONDS: Final = 60.0


def payloads_in(spool: Path) -> list[Path]:
    """Return the payloads that a spool keeps or is taking in; their names have no suffix but the upload's own."""
    kept = [path for path in spool.glob("[0-9a-f][0-9a-f]/*") if path.name.count(".") == 1]
    return kept + list((spool / "tmp").iterdir())


def flip_one_bit(path: Path, random: np.random.Generator) -> None:
    content = bytearray(path.read_bytes())
    content[random.integers(len(content))] ^= 1 << random.integers(8)
    path.write_bytes(content)


def send_misdeclared(url: str) -> list[tuple[int, str]]:
    """Send films whose Content-Digest is another film's; return statuses and codes."""
    answers = []
    digest = base64.b64encode(hashlib.sha256(b"another film").digest()).decode()
    with http_client(url) as client:
        for film in numbered_films(MISDECLARED, start=FILMS):
            answer = client.post("/v1/instances", content=film, headers={"Content-Digest": f"sha-256=:{digest}:"})
            answers.append((answer.status_code, answer.json()["code"]))
    return answers


def every_kind_of_film() -> list[bytes]:
    """Return DICOM films of every judged syntax in turn, and PNG for the rest."""
    dicoms = [
        dicom_film(seed=number, rows=96, columns=96, transfer_syntax=JUDGED[number % len(JUDGED)])
        for number in range(FILMS // 2)
    ]
    return dicoms + numbered_films(FILMS - len(dicoms))


@pytest.mark.row
def test_flipped_bits_end_payload_digest_and_wrong_digests_are_refused(parts: Parts, measure_row: MeasureRow) -> None:
    server, random = parts.server, np.random.default_rng(SEED)
    with measure_row("S3", "silent corruption") as row, parts.gateway() as gateway:
        sent: list[Sent] = send_all(gateway.url, every_kind_of_film(), seconds=_SECONDS)
        row.mark("accepted", len(accepted(sent)), exactly=FILMS)
        spooled = payloads_in(parts.directory / "spool")
        row.mark("spooled", len(spooled), exactly=FILMS)
        answers = send_misdeclared(gateway.url)
        row.mark("wrong_digests_422", sum(status == 422 for status, _ in answers), exactly=MISDECLARED)
        row.note("wrong_digest_code", answers[0][1])
        row.mark("kept_of_wrong_digests", len(payloads_in(parts.directory / "spool")) - len(spooled), exactly=0)
        with server.client() as client:
            row.mark("records", sum(1 for _ in client.scan_iter(keys.instance("*"))), exactly=FILMS)
        row.mark("enqueued", backlog(server), exactly=FILMS)
        for path in spooled:
            flip_one_bit(path, random)
        with parts.worker():
            wait_done(gateway.url, sent, seconds=_SECONDS)
            found = records(gateway.url, [one.film_id for one in sent])
        noticed = [record for record in found.values() if record["reason"] == "payload_digest"]
        row.mark("payload_digest", len(noticed), exactly=FILMS)
        with server.client() as client, http_client(gateway.url) as http:
            mark_safe(row, client, [one.film_id for one in accepted(sent)], http=http)
