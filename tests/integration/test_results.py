"""Results as DICOM over HTTP: a gateway as a process with a real Redis; the test itself plays the worker."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
from pydicom import Dataset, dcmread

from model.decision import Decision
from model.errors import Reason
from model.phantom import chest_phantom
from services.dicom.uids import ResultKind, result_uid, series_uid
from services.jobs.pictures import film_and_model, pack_picture
from services.jobs.queue import JobQueue
from services.jobs.records import Job, Picture, Timings
from services.jobs.spool import Spool
from tests.support.dicom3tools import dciodvfy
from tests.support.films import CT_STORAGE, dicom_film, png_film
from tests.support.gateway import GatewayProcess
from tests.support.jobs import SCORED_BY, TIMINGS, scored, unread
from tests.support.redis_server import RedisServer

DICOM, PNG = {"Content-Type": "application/dicom"}, {"Content-Type": "image/png"}
RESULTS = ["report", "overlay"]
# What dciodvfy is to find nothing wrong in: as a film says it, and as little as a film may say.
FILMS = {
    "whole": {"PatientOrientation": ["L", "F"], "Laterality": "", "StudyTime": "101112", "StudyID": "1"},
    "japanese": {"SpecificCharacterSet": ["", "ISO 2022 IR 87"], "PatientName": "Yamada^Tarou=山田^太郎"},
    "scant": {"PatientName": "", "PatientSex": "", "StudyDate": "", "PatientAge": None, "BodyPartExamined": None},
    "lossy": {
        "LossyImageCompression": "01",
        "LossyImageCompressionRatio": "9.5",
        "LossyImageCompressionMethod": "ISO_10918_1",
    },
}


@pytest.fixture(scope="module")
def gateway(shared_redis_server: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    process = GatewayProcess(tmp_path_factory.mktemp("gateway"), redis_url=shared_redis_server.url)
    process.wait_ready()
    yield process
    assert process.stop() == 0, process.output[-3000:]
    assert "request failed" not in process.output
    assert "message of a library withheld" not in process.output


@pytest.fixture(autouse=True)
def _nothing_to_give_back(gateway: GatewayProcess, redis_server: RedisServer) -> None:
    """Empty the lasting gateway's spool with Redis: sooner or later it gives Redis back what that has lost."""
    gateway.empty_spool()


@pytest.fixture
def kept(gateway: GatewayProcess) -> Spool:
    """The gateway's spool, as a worker has it."""
    return Spool(gateway.spool_directory, quota_bytes=2**30, minimum_free_ratio=0.0)


def post(client: httpx.Client, payload: bytes, headers: dict[str, str] = DICOM) -> str:
    response = client.post("/v1/instances", content=payload, headers=headers)
    assert response.status_code == 202, response.text
    return str(response.json()["links"]["self"])


async def decide(queue: JobQueue, spool: Spool, decision: Decision) -> None:
    """Decide everything that waits, with pictures beside a score, as a worker does."""
    for taken in await queue.take("test", count=100, block_ms=0):
        pictures = keep_pictures(spool, taken.job) if decision.outcome.is_scored else []
        model = SCORED_BY if decision.outcome.is_scored else None
        await queue.finish(taken, decision, model=model, timings=TIMINGS, pictures=pictures)


def keep_pictures(spool: Spool, job: Job) -> list[Picture]:
    preview = np.rint(chest_phantom(3, rows=300, columns=250) * 255).astype(np.uint8)
    activation = np.array([[0, 6], [-2, 1]], np.float32)
    explained = film_and_model(film=job.sha256, model=SCORED_BY.digest)
    spool.keep_picture(job, Picture.PREVIEW, pack_picture(preview, of=job.sha256))
    spool.keep_picture(job, Picture.HEATMAP, pack_picture(activation, of=explained), by=SCORED_BY.digest)
    return [Picture.PREVIEW, Picture.HEATMAP]


def fetch(client: httpx.Client, link: str, name: str) -> Dataset:
    response = client.get(f"{link}/{name}.dcm")
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "application/dicom"
    assert response.headers["cache-control"] == "no-store"
    assert client.get(f"{link}/{name}.dcm").content == response.content, "the same bytes each time"
    return dcmread(io.BytesIO(response.content))


def refused(client: httpx.Client, link: str, name: str) -> tuple[int, str]:
    response = client.get(f"{link}/{name}.dcm")
    assert response.headers["content-type"] == "application/problem+json"
    return response.status_code, response.json()["code"]


def outcome_of(report: Dataset) -> set[str]:
    """The words of our own scheme in a report."""
    return {element.value for element in report.iterall() if element.tag == 0x00080100 and "FLAG" in str(element.value)}


async def test_scored_film_has_both_results_in_its_own_study(
    client: httpx.Client, worker_queue: JobQueue, kept: Spool
) -> None:
    payload = dicom_film(seed=1, PatientName="Wang^XiaoDong=王^小东", SpecificCharacterSet="ISO_IR 192")
    film = dcmread(io.BytesIO(payload))
    link = post(client, payload)
    await decide(worker_queue, kept, scored(flagged=True))
    film_id = link.rpartition("/")[2]
    for kind in (ResultKind.REPORT, ResultKind.OVERLAY):
        result = fetch(client, link, kind)
        assert result.SOPInstanceUID == result_uid(kind, film_id, SCORED_BY.digest, 1)
        assert result.SeriesInstanceUID == series_uid(kind, film_id)
        assert (result.StudyInstanceUID, str(result.PatientName)) == (film.StudyInstanceUID, str(film.PatientName))


async def test_film_that_nobody_assessed_has_a_report_that_says_so_and_no_overlay(
    client: httpx.Client, worker_queue: JobQueue, kept: Spool
) -> None:
    link = post(client, dicom_film(seed=2))
    await decide(worker_queue, kept, unread(Reason.VIEW))
    assert "Abnormal" not in str(fetch(client, link, "report"))
    assert refused(client, link, "overlay") == (409, "film_not_assessed")


async def test_decision_that_is_replaced_has_objects_of_its_own(
    client: httpx.Client, worker_queue: JobQueue, kept: Spool
) -> None:
    link = post(client, dicom_film(seed=3))
    await decide(worker_queue, kept, scored(flagged=False))
    first = fetch(client, link, "report")
    await worker_queue.rescore(link.rpartition("/")[2])
    assert refused(client, link, "report") == (409, "film_not_done")
    await decide(worker_queue, kept, scored(flagged=True))
    second = fetch(client, link, "report")
    assert first.SOPInstanceUID != second.SOPInstanceUID
    assert first.SeriesInstanceUID == second.SeriesInstanceUID
    assert (outcome_of(first), outcome_of(second)) == ({"NOT_FLAGGED"}, {"FLAGGED"})
    assert "PredecessorDocumentsSequence" not in first
    assert first.SOPInstanceUID in str(second.PredecessorDocumentsSequence)


@pytest.mark.parametrize("name", RESULTS)
async def test_film_without_an_outcome_has_no_result(client: httpx.Client, worker_queue: JobQueue, name: str) -> None:
    link = post(client, dicom_film(seed=4))
    assert refused(client, link, name) == (409, "film_not_done")
    await worker_queue.take("test", count=1, block_ms=0)
    assert refused(client, link, name) == (409, "film_not_done")


@pytest.mark.parametrize("name", RESULTS)
async def test_raster_film_has_no_result(client: httpx.Client, worker_queue: JobQueue, kept: Spool, name: str) -> None:
    link = post(client, png_film(seed=5), PNG)
    await decide(worker_queue, kept, scored(flagged=True))
    assert refused(client, link, name) == (409, "film_not_dicom")


@pytest.mark.parametrize(
    "attributes", [{"SOPClassUID": CT_STORAGE}, {"SeriesInstanceUID": None}, {"PatientID": "1" * 70}], ids=str
)
async def test_film_that_cannot_be_repeated_has_no_report(
    client: httpx.Client, worker_queue: JobQueue, kept: Spool, attributes: dict[str, str | None]
) -> None:
    link = post(client, dicom_film(seed=6, **attributes))
    await decide(worker_queue, kept, unread(Reason.SOP_CLASS))
    assert refused(client, link, "report") == (409, "film_not_reportable")


async def test_film_past_retention_has_no_result_any_more(
    client: httpx.Client, worker_queue: JobQueue, kept: Spool
) -> None:
    link = post(client, dicom_film(seed=7))
    await decide(worker_queue, kept, scored(flagged=True))
    (job,) = [job for payload in kept.kept(older_than_seconds=-60) if (job := kept.job_of(payload))]
    kept.remove(job.payload)
    assert refused(client, link, "report") == (410, "film_gone")
    assert refused(client, link, "overlay")[0] == 410


async def test_scored_film_whose_pictures_were_lost_has_a_report_all_the_same(
    client: httpx.Client, worker_queue: JobQueue
) -> None:
    link = post(client, dicom_film(seed=8))
    for taken in await worker_queue.take("test", count=100, block_ms=0):
        await worker_queue.finish(taken, scored(flagged=True), model=SCORED_BY, timings=Timings(decode=1.0))
    assert outcome_of(fetch(client, link, "report")) == {"FLAGGED"}
    assert refused(client, link, "overlay") == (404, "picture_absent")


@pytest.mark.parametrize("name", RESULTS)
def test_unknown_film_is_404_and_an_unknown_parameter_422(client: httpx.Client, name: str) -> None:
    assert refused(client, f"/v1/instances/{'0' * 32}", name) == (404, "instance_not_found")
    response = client.get(f"/v1/instances/{'0' * 32}/{name}.dcm", params={"layer": "heat"})
    assert (response.status_code, response.json()["code"]) == (422, "invalid_parameter")


@pytest.mark.parametrize("film", FILMS)
@pytest.mark.parametrize("decision", [scored(flagged=True), unread(Reason.OUT_OF_DISTRIBUTION)], ids=["scored", "not"])
async def test_results_keep_the_rules_of_their_classes(
    client: httpx.Client, worker_queue: JobQueue, kept: Spool, tmp_path: Path, film: str, decision: Decision
) -> None:
    link = post(client, dicom_film(seed=9, **FILMS[film]))
    await decide(worker_queue, kept, decision)
    for name in RESULTS if decision.outcome.is_scored else RESULTS[:1]:
        path = tmp_path / f"{name}.dcm"
        fetch(client, link, name).save_as(path, enforce_file_format=True)
        verdict = dciodvfy(path)
        assert verdict.errors == (), verdict.output
