"""A film's whole walk through real processes, over HTTP."""

import hashlib

import httpx
import numpy as np
import pytest

from services.jobs.records import Record
from tests.support.films import CT_STORAGE, dicom_film, jpeg_film, phantom_pixels, png_film

PNG = {"Content-Type": "image/png"}
DICOM = {"Content-Type": "application/dicom"}
WAIT = {"wait": 30}


def post(client: httpx.Client, payload: bytes, headers: dict[str, str], **params: str | int) -> httpx.Response:
    return client.post("/v1/instances", content=payload, headers=headers, params=WAIT | params)


def outcome_of(client: httpx.Client, payload: bytes, headers: dict[str, str], **params: str | int) -> Record:
    response = post(client, payload, headers, **params)
    assert response.status_code == 200, response.text
    return Record.model_validate_json(response.content)


@pytest.mark.parametrize(
    ("payload", "media_type"),
    [
        pytest.param(png_film(seed=1), "image/png", id="png"),
        pytest.param(jpeg_film(seed=1), "image/jpeg", id="jpeg"),
        pytest.param(dicom_film(seed=1), "application/dicom", id="dicom"),
    ],
)
def test_film_is_scored_and_its_record_says_by_what(client: httpx.Client, payload: bytes, media_type: str) -> None:
    record = outcome_of(client, payload, {"Content-Type": media_type})
    assert record.outcome is not None
    assert record.outcome.is_scored
    assert record.model is not None
    assert record.policy is not None
    (loaded,) = client.get("/v1/models").json()["models"]
    assert record.model.digest == loaded["digest"]
    assert (record.threshold, record.policy.name) == (loaded["threshold"], loaded["operating_point"])
    assert record.sha256 == hashlib.sha256(payload).hexdigest()
    assert record.timings_ms.total is not None


def test_threshold_divides_flagged_from_not_flagged(client: httpx.Client) -> None:
    bright, dark = (np.full((128, 128), level, np.uint8) for level in (200, 40))
    for pixels in (bright, dark):
        pixels[::2] += 20  # a film of one level would be blank
    flagged, not_flagged = (outcome_of(client, png_film(pixels), PNG) for pixels in (bright, dark))
    assert (flagged.outcome, not_flagged.outcome) == ("flagged", "not_flagged")
    assert flagged.threshold is not None
    assert not_flagged.probability is not None
    assert flagged.probability is not None
    assert not_flagged.probability < flagged.threshold <= flagged.probability


def test_inverted_dicom_scores_like_its_positive(client: httpx.Client) -> None:
    pixels = phantom_pixels(2)
    inverted = (4095 - pixels).astype(np.uint16)
    positive = outcome_of(client, dicom_film(pixels), DICOM)
    negative = outcome_of(client, dicom_film(inverted, PhotometricInterpretation="MONOCHROME1"), DICOM)
    assert positive.probability is not None
    assert negative.probability == pytest.approx(positive.probability, abs=0.01)


def test_film_that_is_sent_again_is_not_scored_again(client: httpx.Client) -> None:
    first = outcome_of(client, png_film(seed=3), PNG)
    again = client.post("/v1/instances", content=png_film(seed=3), headers=PNG)
    assert again.status_code == 200
    assert Record.model_validate_json(again.content) == first


@pytest.mark.parametrize(
    ("payload", "headers", "reason"),
    [
        pytest.param(dicom_film(seed=4, SOPClassUID=CT_STORAGE, Modality="CT"), DICOM, "sop_class", id="ct"),
        pytest.param(dicom_film(seed=4, BodyPartExamined="HAND"), DICOM, "body_part", id="hand"),
        pytest.param(dicom_film(seed=4, PatientAge="007Y"), DICOM, "age", id="child"),
        pytest.param(dicom_film(seed=4, ViewPosition="LL"), DICOM, "view", id="lateral"),
        pytest.param(png_film(seed=4)[:-2000], PNG, "decode_error", id="cut"),
        pytest.param(png_film(seed=4, rows=32, columns=32), PNG, "too_small", id="stamp"),
    ],
)
def test_film_that_cannot_be_judged_is_accepted_and_not_assessed(
    client: httpx.Client, payload: bytes, headers: dict[str, str], reason: str
) -> None:
    record = outcome_of(client, payload, headers)
    assert (record.outcome, record.reason) == ("not_assessed", reason)
    assert record.probability is None


def test_claimed_age_of_a_raster_film_is_heeded(client: httpx.Client) -> None:
    record = outcome_of(client, png_film(seed=5), PNG, age=7)
    assert record.reason == "age"


def test_corrupt_film_ends_alone_and_its_neighbours_are_scored(client: httpx.Client) -> None:
    payloads = [png_film(seed=seed) for seed in range(10, 18)]
    payloads[3] = payloads[3][: len(payloads[3]) // 2]
    links = [client.post("/v1/instances", content=payload, headers=PNG).json()["links"]["self"] for payload in payloads]
    outcomes = [client.get(link, params=WAIT).json()["outcome"] for link in links]
    assert outcomes[3] == "not_assessed"
    assert set(outcomes[:3] + outcomes[4:]) <= {"flagged", "not_flagged"}


def test_study_is_as_urgent_as_its_worst_film(client: httpx.Client) -> None:
    study_uid = "1.2.826.0.1.99"
    outcome_of(client, png_film(seed=20), PNG, study_uid=study_uid)
    outcome_of(client, png_film(seed=20, rows=32, columns=32), PNG, study_uid=study_uid)
    study = client.get(f"/v1/studies/{study_uid}").json()
    outcomes = {film["outcome"] for film in study["instances"]}
    assert study["outcome"] == ("flagged" if "flagged" in outcomes else "not_assessed")
    assert (study["films"], study["pending"], study["unread"]) == (2, 0, 1)
    listed = client.get("/v1/studies", params={"limit": 500}).json()["studies"]
    assert study_uid in {line["study_uid"] for line in listed}


@pytest.mark.parametrize(
    ("view", "study_uid", "roll_up"),
    [("LL", "1.2.826.0.1.100", "not_flagged"), ("RLO", "1.2.826.0.1.101", "not_assessed")],
)
def test_only_a_lateral_is_excused_by_a_scored_frontal(
    client: httpx.Client, view: str, study_uid: str, roll_up: str
) -> None:
    dark = (phantom_pixels(21) // 8 + 1).astype(np.uint16)
    frontal = dicom_film(dark, StudyInstanceUID=study_uid, WindowCenter=2048, WindowWidth=4096)
    assert outcome_of(client, frontal, DICOM).outcome == "not_flagged"
    other = outcome_of(client, dicom_film(seed=22, StudyInstanceUID=study_uid, ViewPosition=view), DICOM)
    assert other.reason == "view"
    study = client.get(f"/v1/studies/{study_uid}").json()
    assert (study["outcome"], study["unread"]) == (roll_up, 1)


def test_thresholds_of_the_served_model_come_with_their_evidence(client: httpx.Client) -> None:
    (loaded,) = client.get("/v1/models").json()["models"]
    table = client.get(f"/v1/models/{loaded['digest']}/operating-points").json()
    assert table["model"]["digest"] == loaded["digest"]
    assert {point["name"] for point in table["operating_points"]} == {"f3", "all"}
    assert all(point["evidence"] for point in table["operating_points"])
