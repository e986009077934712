"""Pictures leave the gateway as PNG, in the colours and the geometry of what was kept."""

from __future__ import annotations

from collections.abc import Callable

import imagecodecs
import numpy as np
import pytest

from model.heatmap import heat_layer, overlay
from model.preview import PREVIEW_SIDE
from services.jobs.drawing import draw_heat, draw_overlay, draw_preview
from services.jobs.errors import PictureGone
from services.jobs.pictures import film_and_model, pack_picture

FILM, MODEL = "f" * 64, "d" * 64
PREVIEW = np.random.default_rng(0).integers(0, 256, (50, 30), dtype=np.uint8)
ACTIVATION = np.array([[0, 6], [-2, 1]], np.float32)
EXPLAINED = film_and_model(film=FILM, model=MODEL)
KEPT_PREVIEW, KEPT_ACTIVATION = pack_picture(PREVIEW, of=FILM), pack_picture(ACTIVATION, of=EXPLAINED)


def test_a_preview_is_8_bit_gray() -> None:
    drawn = imagecodecs.png_decode(draw_preview(KEPT_PREVIEW, of=FILM))
    assert drawn.dtype == np.uint8
    assert (drawn == PREVIEW).all()


def test_an_overlay_is_rgb() -> None:
    drawn = imagecodecs.png_decode(draw_overlay(KEPT_PREVIEW, KEPT_ACTIVATION, film=FILM, model=MODEL))
    assert (drawn == overlay(PREVIEW, ACTIVATION)).all()


def test_the_heat_alone_is_rgba_of_the_same_size() -> None:
    drawn = imagecodecs.png_decode(draw_heat(KEPT_PREVIEW, KEPT_ACTIVATION, film=FILM, model=MODEL))
    assert (drawn == heat_layer(ACTIVATION, PREVIEW.shape)).all()


def test_a_heat_map_of_another_model_is_not_drawn() -> None:
    with pytest.raises(PictureGone):
        draw_overlay(KEPT_PREVIEW, KEPT_ACTIVATION, film=FILM, model="e" * 64)


@pytest.mark.parametrize("draw", [draw_overlay, draw_heat])
def test_a_heat_map_of_another_film_is_not_drawn(draw: Callable[..., bytes]) -> None:
    other_film = "b" * 64
    with pytest.raises(PictureGone):
        draw(pack_picture(PREVIEW, of=other_film), KEPT_ACTIVATION, film=other_film, model=MODEL)


@pytest.mark.parametrize(
    "array", [ACTIVATION, PREVIEW[0], np.zeros((PREVIEW_SIDE + 1, 4), np.uint8), np.zeros((0, 4), np.uint8)]
)
def test_what_is_no_preview_is_not_drawn(array: np.ndarray) -> None:
    with pytest.raises(PictureGone):
        draw_preview(pack_picture(array, of=FILM), of=FILM)


@pytest.mark.parametrize("array", [PREVIEW, np.array([[np.nan]], np.float32), np.zeros(4, np.float32)])
def test_what_is_no_activation_map_is_not_drawn(array: np.ndarray) -> None:
    with pytest.raises(PictureGone):
        draw_heat(KEPT_PREVIEW, pack_picture(array, of=EXPLAINED), film=FILM, model=MODEL)
