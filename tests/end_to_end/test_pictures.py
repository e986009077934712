"""Previews and heat maps over HTTP: the film as it is shown, and heat where the network saw something.

The running stack's bundle answers in closed form: a cell of its map is ``CAM_GAIN * (brightness - CAM_ZERO)``, so that
a bright patch on a dark film is the only heat.
"""

from __future__ import annotations

import httpx
import imagecodecs
import numpy as np
import pytest

from model.heatmap import FULL_HEAT
from services.jobs.records import Record
from tests.support.bundles import CAM_GAIN, CAM_ZERO, LABELS
from tests.support.films import dicom_film, png_film

PNG = {"Content-Type": "image/png"}
DICOM = {"Content-Type": "application/dicom"}
DARK, BRIGHT = 60, 250
TEMPERATURE = 2.0


def patched_film(seed: int) -> np.ndarray:
    """512 by 256 pixels, dark but for the cell in row 1 and the right half: column 2 of the letterboxed square."""
    pixels = np.full((512, 256), DARK, np.uint8)
    pixels[128:256, 128:256] = BRIGHT
    pixels[:4, :4] = seed  # another film, for the queue
    return pixels


def as_12_bits(pixels: np.ndarray) -> np.ndarray:
    return np.rint(pixels / 255 * 4095).astype(np.uint16)


def submit(client: httpx.Client, payload: bytes, headers: dict[str, str]) -> Record:
    response = client.post("/v1/instances", content=payload, headers=headers, params={"wait": 30})
    assert response.status_code == 200, response.text
    return Record.model_validate_json(response.content)


def picture(client: httpx.Client, link: str | None, **params: str) -> np.ndarray:
    assert link is not None
    response = client.get(link, params=params)
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "image/png"
    return np.asarray(imagecodecs.png_decode(response.content))


FILMS = {
    "png": (png_film(patched_film(1)), PNG),
    "dicom": (dicom_film(as_12_bits(patched_film(2))), DICOM),
    "monochrome1": (
        dicom_film((4095 - as_12_bits(patched_film(3))).astype(np.uint16), PhotometricInterpretation="MONOCHROME1"),
        DICOM,
    ),
    "tall pixels": (dicom_film(as_12_bits(patched_film(4))[::2], PixelAspectRatio=["2", "1"]), DICOM),
}


@pytest.mark.parametrize("name", FILMS)
def test_heat_lies_over_what_raised_the_score_whatever_the_film_looked_like(client: httpx.Client, name: str) -> None:
    record = submit(client, *FILMS[name])
    film = picture(client, record.links.preview)
    assert (film.shape, film.dtype) == ((512, 256), np.uint8)
    assert int(film[192, 192]) == pytest.approx(BRIGHT, abs=2)
    assert int(film[400, 60]) == pytest.approx(DARK, abs=2)

    heat = picture(client, record.links.heatmap, layer="heat")
    assert heat.shape == (512, 256, 4)
    full = 153 * CAM_GAIN * (BRIGHT / 255 - CAM_ZERO) / TEMPERATURE / FULL_HEAT
    assert int(heat[192, 192, 3]) == pytest.approx(full, abs=3)
    assert np.unravel_index(heat[..., 3].argmax(), (512, 256)) == pytest.approx((192, 192), abs=12)
    assert [int(heat[row, column, 3]) for row, column in ((64, 64), (192, 64), (330, 192), (64, 192))] == [0, 0, 0, 0]

    overlay = picture(client, record.links.heatmap)
    assert overlay.shape == (512, 256, 3)
    assert (overlay[heat[..., 3] == 0] == film[heat[..., 3] == 0][:, np.newaxis]).all()
    red, _, blue = (int(value) for value in overlay[192, 192])
    assert red > BRIGHT - 3
    assert blue < 0.5 * BRIGHT


def test_a_dark_film_has_a_heat_map_without_heat(client: httpx.Client) -> None:
    pixels = np.full((300, 200), 40, np.uint8)
    pixels[::3] = 60
    record = submit(client, png_film(pixels), PNG)
    assert picture(client, record.links.heatmap, layer="heat")[..., 3].max() == 0
    assert (picture(client, record.links.heatmap) == pixels[..., np.newaxis]).all()


def test_a_large_film_has_a_preview_of_its_shape(client: httpx.Client) -> None:
    record = submit(client, png_film(seed=40, rows=2500, columns=2048), PNG)
    assert picture(client, record.links.preview).shape == (625, 512)
    assert picture(client, record.links.heatmap).shape == (625, 512, 3)


def test_nobody_keeps_a_picture_on_its_way(client: httpx.Client) -> None:
    record = submit(client, *FILMS["png"])
    for link, params in (
        (record.links.preview, {}),
        (record.links.heatmap, {}),
        (record.links.heatmap, {"layer": "heat"}),
    ):
        assert link is not None
        response = client.get(link, params=params, headers={"If-None-Match": "*"})
        assert response.status_code == 200
        assert response.headers["cache-control"] == "no-store"
        assert "etag" not in response.headers
        assert response.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("name", ["preview", "heatmap"])
def test_a_film_that_nobody_could_open_has_no_pictures(client: httpx.Client, name: str) -> None:
    record = submit(client, png_film(seed=41)[:-3000], PNG)
    assert (record.reason, record.links.preview, record.links.heatmap) == ("decode_error", None, None)
    response = client.get(f"{record.links.self}/{name}.png")
    assert (response.status_code, response.json()["code"]) == (409, "film_not_assessed")
    assert response.headers["cache-control"] == "no-store"


def test_a_blank_film_is_shown_but_explains_nothing(client: httpx.Client) -> None:
    record = submit(client, png_film(np.full((200, 100), 9, np.uint8)), PNG)
    assert record.reason == "blank"
    assert (picture(client, record.links.preview) == 9).all()
    response = client.get(f"{record.links.self}/heatmap.png")
    assert (response.status_code, response.json()["code"]) == (409, "film_not_assessed")


@pytest.mark.parametrize("name", ["preview", "heatmap"])
def test_a_film_that_is_unknown_is_404_and_another_layer_422(client: httpx.Client, name: str) -> None:
    response = client.get(f"/v1/instances/{'0' * 32}/{name}.png")
    assert (response.status_code, response.json()["code"]) == (404, "instance_not_found")
    response = client.get(f"/v1/instances/{'0' * 32}/{name}.png", params={"layer": "bones"})
    assert (response.status_code, response.json()["code"]) == (422, "invalid_parameter")


def test_findings_of_a_model_that_has_them_are_in_the_record(client: httpx.Client) -> None:
    record = submit(client, *FILMS["png"])
    assert record.probability is not None
    assert record.findings is not None
    assert [finding.label for finding in record.findings] == list(LABELS)
    assert [finding.probability for finding in record.findings] == pytest.approx(
        [record.probability, 1 - record.probability], abs=1e-6
    )


def test_what_is_served_says_what_it_can_do(client: httpx.Client) -> None:
    (loaded,) = client.get("/v1/models").json()["models"]
    assert loaded["labels"] == list(LABELS)
    assert (loaded["precision"], loaded["has_heatmap"], loaded["has_embedding_gate"]) == ("fp32", True, True)
    table = client.get(f"/v1/models/{loaded['digest']}/operating-points").json()["operating_points"]
    certificates = {point["name"]: point["certificate"] for point in table}
    assert certificates["f3"] is None
    assert certificates["all"]["alpha"] == 0.05
