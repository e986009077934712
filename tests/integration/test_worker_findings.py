"""A bundle of findings that takes age and sex, served by the same gateway and worker as any other. Real processes."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from model.bundle import read_manifest
from model.decoding.decode import decode
from model.decoding.inspect import inspect_header
from model.preprocessing import PreprocessingSpec, preprocess
from services.jobs.records import Record
from tests.support.films import dicom_film, png_film
from tests.support.finding_bundles import FINDINGS, any_of, findings_of, write_finding_bundle
from tests.support.gateway import GatewayProcess, WorkerProcess, wait_until
from tests.support.redis_server import RedisServer

DICOM = "application/dicom"
PNG = "image/png"


@dataclass(frozen=True)
class Site:
    """A gateway and a worker that serves findings, with a Redis of their own."""

    client: httpx.Client
    gateway: GatewayProcess
    worker: WorkerProcess
    bundle: Path

    def record(self, film: bytes, media_type: str, **claims: object) -> Record:
        answer = self.client.post(
            "/v1/instances", params={"wait": 30, **claims}, content=film, headers={"Content-Type": media_type}
        )
        assert answer.status_code == 200, answer.text
        return Record.model_validate_json(answer.content)


@pytest.fixture(scope="module")
def site(redis_binary: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    directory = tmp_path_factory.mktemp("findings")
    bundle = write_finding_bundle(directory / "bundle")
    server = RedisServer(redis_binary, directory)
    server.start()
    few = {"worker_decoders": 2, "worker_threads": 1}
    with (
        GatewayProcess(directory, redis_url=server.url) as gateway,
        WorkerProcess(directory, redis_url=server.url, bundle=bundle, **few) as worker,
    ):
        gateway.wait_ready()
        with gateway.client() as client:
            wait_until(lambda: bool(client.get("/v1/models").json()["models"]), what=f"the worker\n{worker.output}")
            yield Site(client, gateway, worker, bundle)
    server.stop()


def expected_of(film: bytes, age_years: float | None, sex: str | None) -> dict[str, float]:
    tensor = preprocess(decode(film, inspect_header(film)), PreprocessingSpec(size=64))
    return findings_of(float(tensor.mean()) / 255, age_years, sex)


def found(record: Record) -> dict[str, float]:
    assert record.findings is not None
    return {finding.label: finding.probability for finding in record.findings}


@pytest.mark.parametrize(
    ("film", "media_type", "claims", "patient"),
    [
        pytest.param(dicom_film(seed=1, PatientAge="060Y", PatientSex="M"), DICOM, {}, (60, "M"), id="dicom"),
        pytest.param(dicom_film(seed=2, PatientAge="045Y", PatientSex="F "), DICOM, {}, (45, "F"), id="padded"),
        pytest.param(dicom_film(seed=11, PatientAge="045Y", PatientSex="m"), DICOM, {}, (45, "M"), id="small letter"),
        pytest.param(dicom_film(seed=3, PatientAge=None, PatientSex=None), DICOM, {}, (None, None), id="silent"),
        pytest.param(dicom_film(seed=4, PatientAge=None, PatientSex=""), DICOM, {}, (None, None), id="empty"),
        pytest.param(dicom_film(seed=5, PatientAge="300M", PatientSex="O"), DICOM, {}, (25, None), id="other"),
        pytest.param(dicom_film(seed=6, PatientSex=["M", "F"]), DICOM, {}, (45, None), id="both"),
        pytest.param(
            dicom_film(seed=7, PatientAge=None, PatientBirthDate="19760101", StudyDate="20260101", PatientSex="M"),
            DICOM,
            {},
            (18263 / 365.25, "M"),
            id="reckoned",
        ),
        pytest.param(png_film(seed=8), PNG, {"age": 60, "sex": "F"}, (60, "F"), id="claimed"),
        pytest.param(png_film(seed=9), PNG, {"sex": "O"}, (None, None), id="claimed in part"),
        pytest.param(png_film(seed=10), PNG, {}, (None, None), id="nothing claimed"),
    ],
)
def test_findings_rest_on_the_film_and_on_what_is_known_of_its_patient(
    site: Site, film: bytes, media_type: str, claims: dict[str, object], patient: tuple[float | None, str | None]
) -> None:
    record = site.record(film, media_type, **claims)
    expected = expected_of(film, *patient)
    assert found(record) == pytest.approx(expected, abs=1e-5)
    assert tuple(found(record)) == FINDINGS, "in the order of the manifest"
    assert record.probability == pytest.approx(any_of(expected), abs=1e-5)
    assert record.threshold == 0.5
    assert record.outcome == ("flagged" if record.probability >= 0.5 else "not_flagged")


def test_films_that_are_scored_together_keep_their_own_patients(site: Site) -> None:
    patients = {seed: (seed - 80.0, "MF"[seed % 2]) for seed in range(100, 116)}
    films = {seed: png_film(seed=seed, rows=96, columns=96) for seed in patients}

    def send(seed: int) -> Record:
        age, sex = patients[seed]
        return site.record(films[seed], PNG, age=age, sex=sex)

    with ThreadPoolExecutor(len(patients)) as senders:
        records = dict(zip(patients, senders.map(send, patients), strict=True))
    for seed, record in records.items():
        assert found(record) == pytest.approx(expected_of(films[seed], *patients[seed]), abs=1e-5)


def test_an_age_that_contradicts_itself_stays_the_gates_business(site: Site) -> None:
    record = site.record(dicom_film(seed=20, PatientAge="060Y", PatientBirthDate="20200101"), DICOM)
    assert (record.outcome, record.reason, record.findings) == ("not_assessed", "age_unknown", None)


def test_the_model_says_what_it_looks_at_and_what_its_probability_rests_on(site: Site) -> None:
    (served,) = site.client.get("/v1/models").json()["models"]
    assert served["digest"] == read_manifest(site.bundle)[1]
    assert served["labels"] == list(FINDINGS)
    assert served["probability_rule"] == "any_of_findings"
    assert served["inputs"] == ["film", "age", "sex"]


def test_age_and_sex_are_neither_logged_nor_told_again(site: Site) -> None:
    record = site.record(png_film(seed=30), PNG, age=77.25, sex="M")
    told = [
        record.model_dump_json(exclude={"timings_ms"}),
        site.gateway.output,
        site.worker.output,
        site.client.get("/metrics").text,
    ]
    assert not [text for text in told if "77.25" in text or '"sex"' in text or "age_years" in text]
