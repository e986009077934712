"""The one function that takes frozen features, and the films that it sees mirrored."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.support.datasets import phantom_frames
from tests.support.threads import one_thread  # noqa: F401
from tests.support.training_runs import tiny_recipe
from training.datasets.sample import Part
from training.extraction.extract import extract, is_mirrored
from training.networks.network import TriageNetwork


@pytest.fixture(scope="module")
def network() -> TriageNetwork:
    torch.manual_seed(5)
    return TriageNetwork(tiny_recipe().network, size=32).eval()


def films() -> np.ndarray:
    return phantom_frames(6, pixels=32)[:, None]


def test_features_are_those_of_the_network_whatever_the_batch(network: TriageNetwork) -> None:
    with torch.inference_mode():
        expected = network.features(torch.from_numpy(films())).numpy()
    straight = np.zeros(6, dtype=bool)
    found = extract(network, films(), straight)
    assert (found.shape, found.dtype) == ((6, 512), np.float32)
    np.testing.assert_array_equal(found, expected)
    one_by_one = [extract(network, films()[[row]], straight[[row]]) for row in range(6)]
    np.testing.assert_allclose(np.concatenate(one_by_one), expected, atol=1e-5)


def test_a_mirrored_film_has_the_features_of_the_film_turned_left_to_right(network: TriageNetwork) -> None:
    turned = np.array([False, True, False, True, True, False])
    expected = films()
    expected[turned] = expected[turned][..., ::-1]
    np.testing.assert_array_equal(extract(network, films(), turned), extract(network, expected, np.zeros(6, bool)))


def test_train_films_alone_are_mirrored_each_always_alike_and_about_as_many_as_asked() -> None:
    names = [f"{number:08d}_000.png" for number in range(4000)]
    drawn = [is_mirrored(name, Part.TRAIN, flip=0.3, seed=7) for name in names]
    assert np.mean(drawn) == pytest.approx(0.3, abs=0.03)
    assert drawn == [is_mirrored(name, Part.TRAIN, flip=0.3, seed=7) for name in names]
    assert drawn != [is_mirrored(name, Part.TRAIN, flip=0.3, seed=8) for name in names]
    others = [part for part in Part if part is not Part.TRAIN]
    assert not any(is_mirrored(name, part, flip=1.0, seed=7) for name in names[:50] for part in others)


def test_a_chance_of_one_mirrors_every_train_film_and_a_chance_of_none_no_film() -> None:
    names = [str(number) for number in range(200)]
    assert all(is_mirrored(name, Part.TRAIN, flip=1.0, seed=1) for name in names)
    assert not any(is_mirrored(name, Part.TRAIN, flip=0.0, seed=1) for name in names)
