"""A heat map lies where the network found something, in units that do not depend on what else is in the film."""

from __future__ import annotations

import numpy as np
import pytest

from model.heatmap import FULL_HEAT, heat, heat_layer, is_drawable, overlay


def one_hot_cell(row: int, column: int, *, value: float = 10.0, cells: int = 4) -> np.ndarray:
    activation = np.full((cells, cells), -1.0, np.float32)
    activation[row, column] = value
    return activation


def centre(hot: np.ndarray) -> tuple[float, float]:
    """Return the heat's centre of mass, in pixels from the top left corner."""
    rows, columns = np.indices(hot.shape)
    return float((hot * (rows + 0.5)).sum() / hot.sum()), float((hot * (columns + 0.5)).sum() / hot.sum())


def test_heat_lies_over_its_cell_in_a_square_film() -> None:
    hot = heat(one_hot_cell(1, 2), (400, 400))
    assert centre(hot) == pytest.approx((150, 250), abs=0.5)
    assert hot[150, 250] == pytest.approx(1.0, abs=0.01)
    assert hot[350, 50] == 0.0


@pytest.mark.parametrize(
    ("shape", "expected"),
    [((400, 200), (150.0, 150.0)), ((200, 400), (50.0, 250.0)), ((399, 201), (149.6, 150.4))],
)
def test_the_letterbox_is_cut_away(shape: tuple[int, int], expected: tuple[float, float]) -> None:
    # A film half as wide as it is high fills columns 100 to 300 of the square's 400: cell (1, 2) begins at its middle.
    hot = heat(one_hot_cell(1, 2), shape)
    assert hot.shape == shape
    hottest = np.unravel_index(hot.argmax(), shape)
    assert hottest == pytest.approx(expected, abs=3)


def test_heat_is_smooth() -> None:
    hot = heat(one_hot_cell(1, 2), (512, 512))
    assert max(np.abs(np.diff(hot, axis=axis)).max() for axis in (0, 1)) < 0.02


def test_a_calm_film_does_not_glow() -> None:
    calm = heat(one_hot_cell(1, 2, value=FULL_HEAT / 10), (256, 256))
    assert calm.max() == pytest.approx(0.1, abs=0.01)
    assert heat(one_hot_cell(1, 2, value=5 * FULL_HEAT), (256, 256)).max() == pytest.approx(1.0, abs=0.01)


def test_heat_in_the_padding_does_not_make_the_film_paler() -> None:
    # Half as wide as high: columns 4 to 11 of the map's 16 lie over the film.
    activation = one_hot_cell(8, 8, value=2 * FULL_HEAT, cells=16)
    alone = heat(activation, (400, 200))
    activation[8, 0] = 100.0
    assert alone.max() == pytest.approx(1.0, abs=0.01)
    assert (heat(activation, (400, 200)) == alone).all()


def test_what_lowers_the_score_is_not_drawn() -> None:
    cold = np.full((4, 4), -5.0, np.float32)
    cold[2, 2] = -100.0
    assert heat(cold, (64, 64)).max() == 0.0
    assert (heat_layer(cold, (64, 64))[..., 3] == 0).all()


def test_the_layer_is_transparent_without_heat_and_leaves_the_film_readable_under_it() -> None:
    layer = heat_layer(one_hot_cell(1, 2), (400, 200))
    assert layer.shape == (400, 200, 4)
    assert layer[390, 10, 3] == 0
    hottest = layer[150, 150]
    assert hottest[:2].tolist() == [255, 255]
    assert 140 <= hottest[3] <= 153


def test_the_overlay_shows_the_film_where_there_is_no_heat() -> None:
    film = np.random.default_rng(1).integers(0, 256, (400, 200), dtype=np.uint8)
    drawn = overlay(film, one_hot_cell(1, 2))
    cool = heat(one_hot_cell(1, 2), film.shape) == 0
    assert cool.any()
    assert (drawn[cool] == film[cool][:, np.newaxis]).all()
    red, _, blue = drawn[150, 150]
    assert red > film[150, 150] * 0.4 + 140
    assert blue < film[150, 150] * 0.5 + 1


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_map_that_is_not_finite_is_not_drawable(value: float) -> None:
    assert is_drawable(one_hot_cell(0, 0))
    assert not is_drawable(one_hot_cell(0, 0, value=value))


@pytest.mark.parametrize("shape", [(0, 4), (4,), (2, 4, 4), (300, 4)])
def test_a_map_of_another_form_is_not_drawable(shape: tuple[int, ...]) -> None:
    assert not is_drawable(np.zeros(shape, np.float32))


def test_a_map_of_one_cell_is_even() -> None:
    assert heat(np.array([[FULL_HEAT / 2]], np.float32), (30, 20)) == pytest.approx(0.5)
