from __future__ import annotations

import numpy as np
import pytest

from training.errors import ParityError
from training.graphs.parity import completeness, map_correlations, require_parity

FILMS = {"probability": np.array([0.2, 0.7]), "cam": np.array([[[100.0, -3.0]], [[2.0, 1.0]]])}


def moved(name: str, by: float) -> dict[str, np.ndarray]:
    return FILMS | {name: FILMS[name] + by}


def test_probabilities_are_held_absolutely_and_maps_relative_to_the_largest_value() -> None:
    assert require_parity(FILMS, FILMS, 1e-5) == {"probability": 0.0, "cam": 0.0}
    assert require_parity(FILMS, moved("cam", 9e-4), 1e-5)["cam"] == pytest.approx(9e-6, rel=1e-6)
    with pytest.raises(ParityError, match=r"cam differs from the network's by 2\.0e-05, allowed is 1e-05"):
        require_parity(FILMS, moved("cam", 2e-3), 1e-5)
    with pytest.raises(ParityError, match="probability differs"):
        require_parity(FILMS, moved("probability", 2e-5), 1e-5)


def test_an_embedding_may_differ_a_hundred_times_as_much() -> None:
    network = {"embedding": np.array([[1.0, -4.0]])}
    assert require_parity(network, {"embedding": np.array([[1.0, -4.003]])}, 1e-5)["embedding"] < 1e-3
    with pytest.raises(ParityError, match="embedding differs"):
        require_parity(network, {"embedding": np.array([[1.0, -4.005]])}, 1e-5)


def test_an_answer_that_is_no_number_is_no_parity() -> None:
    with pytest.raises(ParityError, match="by nan"):
        require_parity(FILMS, moved("probability", np.nan), 1e-5)


def test_a_missing_output_is_no_parity() -> None:
    with pytest.raises(ParityError, match="no output 'cam'"):
        require_parity(FILMS, {"probability": FILMS["probability"]}, 1e-5)


def test_completeness_is_the_worst_film_and_nan_stays_nan() -> None:
    answers = {"cam": np.array([[[0.0, 1.0]], [[0.0, 0.0]]]), "margin": np.array([1.0, 0.9])}
    assert completeness(answers, np.array([0.5, 0.5])) == pytest.approx(0.4)
    assert completeness(answers, np.array([0.5, 0.7])) == pytest.approx(0.2)
    assert np.isnan(completeness(answers | {"margin": np.array([1.0, np.nan])}, np.array([0.5, 0.5])))


def test_completeness_of_margins_beyond_one_is_relative_as_their_parity_is() -> None:
    answers = {"cam": np.array([[[41.0]], [[-3.0]]]), "margin": np.array([40.0, -3.0])}
    assert completeness(answers, np.zeros(2)) == pytest.approx(1 / 40)


def test_correlation_is_of_each_film_and_leaves_flat_maps_out() -> None:
    rng = np.random.default_rng(0)
    maps = rng.normal(size=(3, 4, 4)).astype(np.float32)
    others = rng.normal(size=(3, 4, 4)).astype(np.float32)
    maps[1] = 0.5
    expected = [np.corrcoef(maps[row].ravel(), others[row].ravel())[0, 1] for row in (0, 2)]
    assert map_correlations(maps, others) == pytest.approx(expected, abs=1e-6)
