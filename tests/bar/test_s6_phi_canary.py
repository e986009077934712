"""S6: what patients and their senders wrote is nowhere but in the payload, whatever becomes of the film."""

from __future__ import annotations

import hashlib
import json
import signal
import time
from pathlib import Path
from typing import Any, Final

import httpx
import psutil
import pytest

from services.api.scopes import Role
from services.jobs.records import instance_id
from tests.bar.conftest import MeasureRow
from tests.support.access import bearer, make_key
from tests.support.bar import Row
from tests.support.canary import (
    WORD,
    Upload,
    accepted_uploads,
    files_with_word,
    has_word,
    large_marked_dicom,
    marked_dicom,
    refused_uploads,
    words_in_redis,
)
from tests.support.films import CT_STORAGE
from tests.support.finding_bundles import write_finding_bundle
from tests.support.invariant import mark_safe
from tests.support.key_objects import key_object
from tests.support.parts import Parts
from tests.support.redis_server import RedisServer
from tests.support.stow import STORE, read, related, stow, uid_of_film
from tests.support.worker_process import WorkerProcess

_SECONDS: Final = 60.0
# What every request brings along besides; a proxy, a browser or a PACS might.
_HEADERS: Final = {
    "User-Agent": WORD,
    "Referer": f"http://{WORD}/",
    "X-Forwarded-For": WORD,
    "X-Patient-Name": WORD,
    "Cookie": f"{WORD}={WORD}",
    "X-Request-Id": WORD,
}
_SLOW: Final = "slow"


@pytest.mark.row
def test_nobody_reads_of_a_patient_outside_of_the_payload(
    mortal_redis_server: RedisServer, tmp_path: Path, measure_row: MeasureRow
) -> None:
    key = make_key(tmp_path / "keys.json", Role.ADMIN)
    parts = Parts(directory=tmp_path, server=mortal_redis_server, bundle=write_finding_bundle(tmp_path / "bundle"))
    directions = parts.directions()
    settings: dict[str, Any] = {
        "api_keys_file": tmp_path / "keys.json",
        "api_upkeep_seconds": 0.5,
        "api_failed_sign_ins_per_minute": 1000,
        "queue_site_deadline_seconds": json.dumps({_SLOW: 0.5}),
    }
    with (
        measure_row("S6", "PHI canary") as row,
        parts.gateway(**settings) as gateway,
        gateway.client(headers=_HEADERS | bearer(key)) as client,
    ):
        said = [_overdue_film(client)]
        with parts.worker(directed_by=directions) as worker:
            directions.fail(1)
            said += [_outcome(client, upload) for upload in accepted_uploads()]
            said += [_crashed_film(client, worker), _rejected_film(client)]
            bodies = _refusals(client)
            # Redis and the gateway go on below; the worker has no more to say.
            texts = {"worker metrics": worker.get("/metrics")[1], "worker log": worker.log_text()}
        texts |= {"gateway metrics": client.get("/metrics").text, "gateway log": gateway.output}
        bodies += [client.get(f"/v1/instances/{film['id']}").text for film in said]
        bodies += [client.get("/v1/studies").text, client.get("/v1/models").text]
        _mark_ways(row, said, len(directions.attempts()))
        _mark_silence(row, parts, mortal_redis_server, texts, bodies)
        with mortal_redis_server.client() as redis:
            mark_safe(row, redis, [film["id"] for film in said], http=client)


def _post(client: httpx.Client, upload: Upload, **params: str) -> httpx.Response:
    headers = {"Content-Type": "application/octet-stream", **upload.headers}
    return client.post("/v1/instances", content=upload.content, headers=headers, params=params | upload.params)


def _outcome(client: httpx.Client, upload: Upload) -> dict[str, Any]:
    answer = _post(client, upload, wait="30")
    assert answer.status_code == 200, answer.text
    film: dict[str, Any] = answer.json()
    return film


def _overdue_film(client: httpx.Client) -> dict[str, Any]:
    """A film that nobody takes before its deadline."""
    answer = _post(client, Upload(content=marked_dicom(40)), site=_SLOW, wait="30")
    film: dict[str, Any] = answer.json()
    return film


def _crashed_film(client: httpx.Client, worker: WorkerProcess) -> dict[str, Any]:
    """A film during which the decoding child dies by a signal."""
    film: dict[str, Any] = {}
    for seed in range(50, 60):
        film = _post(client, Upload(content=large_marked_dicom(seed))).json()
        deadline = time.monotonic() + _SECONDS
        while film["state"] != "done":
            assert time.monotonic() < deadline, film
            if film["state"] == "running":
                _crash_children(worker)
            film = client.get(f"/v1/instances/{film['id']}").json()
        if film["reason"] == "decode_crash":
            break
    return film


def _rejected_film(client: httpx.Client) -> dict[str, Any]:
    """A film that comes by STOW-RS after the note that rejects it, so that nobody scores it."""
    film = marked_dicom(70)
    study, uid = str(read(film).StudyInstanceUID), uid_of_film(film)
    note = key_object({study: [uid]}, PatientName=WORD, PatientID=WORD, SeriesDescription=WORD)
    for content in (note, film):
        answer = stow(client, content)
        assert answer.status_code == 200, answer.text
    sha256 = hashlib.sha256(film).hexdigest()
    record: dict[str, Any] = client.get(
        f"/v1/instances/{instance_id(site='default', sop_instance_uid=uid, sha256=sha256)}"
    ).json()
    assert record["reason"] == "withdrawn", record
    return record


def _crash_children(worker: WorkerProcess) -> None:
    """End every decoding child as a codec's fault would: the processes that have none of their own."""
    for child in psutil.Process(worker.process.pid).children(recursive=True):
        try:
            if not child.children():
                child.send_signal(signal.SIGSEGV)
        except psutil.NoSuchProcess:
            continue


def _refused_stores(client: httpx.Client) -> list[httpx.Response]:
    """Send by STOW-RS what is refused, as a whole or instance by instance."""
    film = marked_dicom(60, SOPClassUID=CT_STORAGE)
    requests: list[tuple[bytes, dict[str, str]]] = [
        (related(f"{WORD} no film at all".encode()), STORE),
        (related(film), STORE),
        (related(marked_dicom(61, StudyInstanceUID=WORD)), STORE),
        (related(film, media_type=f"{WORD}/{WORD}"), STORE),
        (related(film), STORE | {"Accept": f"{WORD}/{WORD}"}),
        (film, {"Content-Type": f"multipart/related; boundary={WORD}"}),
        (related(film, boundary=WORD), {"Content-Type": f'multipart/related; type="{WORD}"; boundary={WORD}'}),
    ]
    answers = [client.post("/dicom-web/studies", content=content, headers=headers) for content, headers in requests]
    return [*answers, client.post(f"/dicom-web/studies/{WORD}", content=related(film), headers=STORE)]


def _refusals(client: httpx.Client) -> list[str]:
    """Return the bodies of all that is refused."""
    answers = [_post(client, upload) for upload in refused_uploads()] + _refused_stores(client)
    paths = (
        f"/v1/instances/{WORD}",
        f"/v1/instances/{WORD}/preview.png",
        f"/v1/studies/{WORD}",
        f"/v1/studies?cursor={WORD}",
        f"/v1/studies?site={WORD}",
        f"/v1/studies?since={WORD}",
        f"/v1/models/{WORD}/operating-points",
        f"/{WORD}",
        f"/web/{WORD}",
    )
    answers += [client.get(path) for path in paths]
    answers.append(client.get("/v1/studies", headers={"Authorization": f"Bearer {WORD}"}))
    answers.append(client.get("/v1/studies", auth=(WORD, WORD)))
    for origin, body in ((str(client.base_url), f'{{"key": "{WORD}"}}'), (f"http://{WORD}", "{}"), (WORD, WORD)):
        headers = {"Origin": origin.rstrip("/"), "Content-Type": "application/json"}
        answers.append(client.post("/v1/session", content=body, headers=headers))
    accepted = [at for at, answer in enumerate(answers) if not 400 <= answer.status_code < 500]
    assert not accepted, f"not refused: {accepted}"
    return [answer.text + json.dumps(dict(answer.headers)) for answer in answers]


def _mark_ways(row: Row, said: list[dict[str, Any]], attempts: int) -> None:
    """The walk has to have come by all of these, or silence proves nothing."""
    reasons = {film["reason"] for film in said}
    row.note("reasons", ", ".join(sorted(reason for reason in reasons if reason is not None)))
    row.mark("scored", sum(film["probability"] is not None for film in said), at_least=4)
    row.mark("ends_seen", len(reasons & {"deadline", "decode_error", "decode_crash"}), exactly=3)
    row.mark(
        "inference_attempts_beyond_films", attempts - sum(film["probability"] is not None for film in said), at_least=1
    )


def _mark_silence(row: Row, parts: Parts, server: RedisServer, texts: dict[str, str], bodies: list[str]) -> None:
    spool = [path for path in (parts.directory / "spool").rglob("*") if path.is_file()]
    # A payload's name is its film's id and a random word; what lies beside it has a suffix more.
    payloads = [path for path in spool if path.name.count(".") == 1]
    # The control: the same search finds what it should find.
    row.mark("payloads_with_the_word", len(list(files_with_word(payloads))), at_least=10)
    for name, text in texts.items():
        row.mark(f"hits_in_{name.replace(' ', '_')}", int(has_word(text.encode())), exactly=0)
        row.mark(f"characters_of_{name.replace(' ', '_')}", len(text), at_least=500)
    row.mark("hits_in_bodies", sum(has_word(body.encode()) for body in bodies), exactly=0)
    with server.client() as client:
        found = words_in_redis(client)
    # All that was ever written to Redis, also what is no longer there.
    journals = [path for path in server.directory.rglob("*") if "aof" in path.name]
    row.mark("hits_in_redis", len(found), exactly=0)
    row.mark(
        "hits_in_redis_journal_and_log",
        len(list(files_with_word([*journals, server.directory / "redis.log"]))),
        exactly=0,
    )
    ledger = list((parts.directory / "audit").rglob("*"))
    row.mark("hits_in_ledger", len(list(files_with_word(ledger))), exactly=0)
    row.mark("ledger_bytes", sum(path.stat().st_size for path in ledger if path.is_file()), at_least=500)
    others = [path for path in spool if path not in payloads]
    row.mark(
        "hits_in_spool_names",
        sum(has_word(str(path.relative_to(parts.directory)).encode()) for path in spool),
        exactly=0,
    )
    row.mark("hits_beside_payloads", len(list(files_with_word(others))), exactly=0)
    print(found, *bodies, sep="\n")
