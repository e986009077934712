"""The DIMSE listener where something is missing, Redis, room or the disk, and where it is told or made to stop."""

import io
import json
import os
import time
from pathlib import Path

import pytest
from pydicom import dcmread

from model.decoding.inspect import inspect_header
from services.dicom.codes import Status
from services.jobs.spool import ABANDONED_SECONDS, Spool
from tests.support.canary import WORD
from tests.support.dimse import (
    VERIFICATION,
    DimseProcess,
    answer_to,
    associated,
    begin_large_film,
    begin_store,
    cr_contexts,
    data_set_of,
    listening,
    send,
    send_data,
)
from tests.support.films import IMPLICIT, dicom_film
from tests.support.gateway import wait_until
from tests.support.ports import is_listening
from tests.support.redis_server import RedisServer

MEBIBYTE = 1024**2


def test_without_redis_films_are_refused_and_with_it_again_taken(
    mortal_redis_server: RedisServer, tmp_path: Path
) -> None:
    with listening(tmp_path, mortal_redis_server) as process:
        process.wait_ready()
        mortal_redis_server.kill()
        assert send(process.port, dicom_film())[0].Status == Status.OUT_OF_RESOURCES
        wait_until(lambda: process.get("/health/ready")[0] == 503, what="not ready")
        mortal_redis_server.start()
        wait_until(lambda: send(process.port, dicom_film())[0].Status == Status.SUCCESS, what="a film taken")
        process.wait_ready()


def test_one_association_outlives_an_absence_of_redis(mortal_redis_server: RedisServer, tmp_path: Path) -> None:
    films = [dcmread(io.BytesIO(dicom_film(seed=seed))) for seed in range(2)]
    with listening(tmp_path, mortal_redis_server) as process:
        process.wait_ready()
        with associated(process.port, cr_contexts()) as association:
            assert association.send_c_store(films[0]).Status == Status.SUCCESS
            mortal_redis_server.kill()
            assert association.send_c_store(films[1]).Status == Status.OUT_OF_RESOURCES
            mortal_redis_server.start()
            wait_until(lambda: association.send_c_store(films[1]).Status == Status.SUCCESS, what="a film taken")


def test_it_listens_before_there_is_a_redis(mortal_redis_server: RedisServer, tmp_path: Path) -> None:
    mortal_redis_server.kill()
    with listening(tmp_path, mortal_redis_server) as process:
        assert send(process.port, dicom_film())[0].Status == Status.OUT_OF_RESOURCES
        mortal_redis_server.start()
        process.wait_ready()
        assert send(process.port, dicom_film())[0].Status == Status.SUCCESS


def test_a_redis_that_could_lose_films_is_given_none(mortal_redis_server: RedisServer, tmp_path: Path) -> None:
    with mortal_redis_server.client() as client:
        client.config_set("appendonly", "no")
    with listening(tmp_path, mortal_redis_server) as process:
        (answer,) = send(process.port, dicom_film())
        assert (answer.Status, answer.ErrorComment) == (Status.OUT_OF_RESOURCES, "queue_unsafe")
        assert process.files() == []
        with mortal_redis_server.client() as client:
            client.config_set("appendonly", "yes")
        process.wait_ready()
        assert send(process.port, dicom_film())[0].Status == Status.SUCCESS


def test_a_full_queue_refuses_and_keeps_nothing(redis_server: RedisServer, tmp_path: Path) -> None:
    with listening(tmp_path, redis_server, api_routine_depth=1, api_stat_reserve=1) as process:
        first, second = send(process.port, dicom_film(seed=1), dicom_film(seed=2))
        assert first.Status == Status.SUCCESS
        assert (second.Status, second.ErrorComment) == (Status.OUT_OF_RESOURCES, "queue_full")
        (large,) = send(process.port, dicom_film(seed=4, rows=1024, columns=1024))
        assert (large.Status, large.ErrorComment) == (Status.OUT_OF_RESOURCES, "queue_full")
        assert send(process.port, dicom_film(seed=3), priority=1)[0].Status == Status.SUCCESS
        assert len(process.files()) == 4


def test_a_full_spool_refuses_and_keeps_nothing(redis_server: RedisServer, tmp_path: Path) -> None:
    settings = {"spool_quota_bytes": MEBIBYTE, "api_max_payload_bytes": 8 * MEBIBYTE}
    with listening(tmp_path, redis_server, **settings) as process:
        (answer,) = send(process.port, dicom_film(rows=1024, columns=1024))
        assert (answer.Status, answer.ErrorComment) == (Status.OUT_OF_RESOURCES, "spool_full")
        assert process.files() == []
        assert send(process.port, dicom_film())[0].Status == Status.SUCCESS


@pytest.mark.parametrize("side", [64, 1024])
def test_without_its_disk_films_are_refused_and_with_it_again_taken(
    redis_server: RedisServer, tmp_path: Path, side: int
) -> None:
    film = dicom_film(rows=side, columns=side)
    with listening(tmp_path, redis_server) as process:
        incoming, away = process.spool_directory / "tmp", tmp_path / "away"
        incoming.rename(away)
        (answer,) = send(process.port, film)
        assert (answer.Status, answer.ErrorComment) == (Status.OUT_OF_RESOURCES, "spool_unavailable")
        wait_until(lambda: process.get("/health/ready")[0] == 503, what="not ready")
        away.rename(incoming)
        assert send(process.port, film)[0].Status == Status.SUCCESS
        process.wait_ready()
        assert len(process.files()) == 2


def test_what_a_sender_did_is_in_the_audit_trail_and_no_patient_is(redis_server: RedisServer, tmp_path: Path) -> None:
    film = dicom_film(PatientName=f"{WORD}^Anna", PatientID=WORD, AccessionNumber=WORD)
    with listening(tmp_path, redis_server, dimse_callers='{"ROOM 1": "north"}') as process:
        assert send(process.port, film, calling="ROOM 1")[0].Status == Status.SUCCESS
        with associated(process.port, (VERIFICATION, [IMPLICIT]), calling=WORD) as stranger:
            assert stranger.is_rejected
    entries = [
        json.loads(line) for file in (tmp_path / "audit").glob("*.jsonl") for line in file.read_text().splitlines()
    ]
    told = {entry["event"]: entry for entry in entries}
    assert (told["accepted"]["who"], told["accepted"]["site"]) == ("ROOM 1", "north")
    assert told["accepted"]["source"] == "127.0.0.1"
    assert (told["sign_in_failed"]["code"], told["sign_in_failed"]["count"]) == ("calling_ae_unknown", 1)
    assert {"started", "stopped"} <= told.keys()
    assert WORD not in json.dumps(entries)
    assert WORD not in process.output


def test_a_stop_ends_idle_associations(redis_server: RedisServer, tmp_path: Path) -> None:
    with listening(tmp_path, redis_server) as process, associated(process.port, (VERIFICATION, [IMPLICIT])) as idle:
        assert idle.send_c_echo().Status == Status.SUCCESS
        assert process.stop() == 0, process.output[-3000:]
        wait_until(lambda: idle.is_aborted, what="the end of the association")


def test_metrics_count_films_by_what_became_of_them(redis_server: RedisServer, tmp_path: Path) -> None:
    with listening(tmp_path, redis_server) as process:
        send(process.port, dicom_film(), dicom_film())
        _, exposition = process.get("/metrics")
        assert 'cxr_images_received_total{code="accepted",source="dimse"} 1.0' in exposition
        assert 'cxr_images_received_total{code="known",source="dimse"} 1.0' in exposition
        assert 'cxr_dimse_associations_total{end="established"} 1.0' in exposition


def test_a_kill_in_the_middle_of_a_film_leaves_a_draft_that_is_tidied(
    redis_server: RedisServer, tmp_path: Path
) -> None:
    with DimseProcess(tmp_path, redis_url=redis_server.url) as process:
        process.wait_ready()
        with associated(process.port, cr_contexts()) as association:
            begin_large_film(association, process)
            process.kill()
            association.abort()
        (draft,) = process.files()
        long_ago = time.time() - 2 * ABANDONED_SECONDS
        os.utime(draft, (long_ago, long_ago))
        Spool(process.spool_directory, quota_bytes=MEBIBYTE * 1024).tidy()
        assert process.files() == []


def test_a_stop_answers_the_film_that_is_arriving(redis_server: RedisServer, tmp_path: Path) -> None:
    film = dicom_film(rows=1024, columns=1024)
    data = data_set_of(film)
    with DimseProcess(tmp_path, redis_url=redis_server.url) as process:
        process.wait_ready()
        with associated(process.port, cr_contexts()) as association:
            context_id = begin_store(association, instance=_instance_of(film))
            send_data(association, context_id, data[:1_500_000], is_whole=False)
            wait_until(lambda: bool(process.drafts()), what="a draft")
            process.process.terminate()
            port = process.port
            wait_until(lambda: not is_listening(port), what="the end of listening")
            answer = answer_to(association, context_id, data[1_500_000:])
            assert answer is not None
            assert answer.Status == Status.SUCCESS
            assert process.stop() == 0, process.output[-3000:]
            wait_until(lambda: association.is_aborted or not association.dul.is_alive(), what="the end")
        assert len(process.files()) == 2


def test_a_stop_aborts_a_film_that_does_not_end_and_leaves_nothing_of_it(
    redis_server: RedisServer, tmp_path: Path
) -> None:
    with DimseProcess(tmp_path, redis_url=redis_server.url, dimse_stop_seconds=0) as process:
        process.wait_ready()
        with associated(process.port, cr_contexts()) as association:
            begin_large_film(association, process)
            assert process.stop() == 0, process.output[-3000:]
            wait_until(lambda: association.is_aborted or not association.dul.is_alive(), what="the end")
        assert "associations_aborted" in process.output
        assert process.files() == []


def _instance_of(film: bytes) -> str:
    return inspect_header(film).sop_instance_uid or ""
