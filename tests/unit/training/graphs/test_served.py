from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from tests.support.exports import LABELS, drawn_films, small_export, small_network
from training.graphs.served import (
    CAM,
    EMBEDDING,
    FINDINGS,
    MARGIN,
    PROBABILITY,
    ServedNetwork,
    answer_network,
    explanation_base,
    margins,
    prepare_for_export,
    secant_slopes,
)
from training.learning.network import TriageNetwork
from training.recipe import NetworkRecipe

ACTIVATIONS = (0.0, -0.0, 1e-30, -1e-12, 1e-7, -1e-4, 0.00999, 0.01001, -0.1, 1.0, -8.0, 40.0, 1e6, -1e30, 3e38)
BIASES = (0.0, 1e-6, -0.3, 2.0, -9.0, 30.0)


def exact_slopes(activation: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """The definition, by the derivative's integral where a difference would lose its digits."""
    a, b = activation[:, np.newaxis].astype(np.longdouble), bias.astype(np.longdouble)
    nodes, weights = np.polynomial.legendre.leggauss(24)
    places = (nodes + 1) / 2
    small = sum(w / 2 / np.cosh(a * p + b) ** 2 for p, w in zip(places, weights, strict=True))
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        difference = (np.tanh(a + b) - np.tanh(b)) / a
    return np.where(np.abs(a) < 0.5, small, difference).astype(np.float64)


def test_slopes_are_those_of_the_secant_from_nothing_to_far_beyond_saturation() -> None:
    activation, bias = np.array(ACTIVATIONS, dtype=np.float32), np.array(BIASES, dtype=np.float32)
    slopes = secant_slopes(torch.from_numpy(activation)[:, None].expand(-1, len(bias)), torch.from_numpy(bias))
    with np.errstate(over="ignore"):
        expected = exact_slopes(activation, bias)
    assert torch.isfinite(slopes).all()
    np.testing.assert_allclose(slopes.numpy(), expected, rtol=1e-6, atol=1.3e-7)


def test_the_slope_at_no_activation_is_the_tangent() -> None:
    bias = torch.tensor(BIASES)
    slopes = secant_slopes(torch.zeros(1, len(BIASES)), bias)
    torch.testing.assert_close(slopes[0], 1 - torch.tanh(bias) ** 2)


@given(st.floats(-100, 100, width=32), st.floats(-20, 20, width=32))
def test_a_slope_times_its_activation_is_what_the_tanh_rose(activation: float, bias: float) -> None:
    slope = secant_slopes(torch.tensor([[activation]]), torch.tensor([bias]))
    risen = np.tanh(np.float64(np.float32(activation)) + np.float64(np.float32(bias))) - np.tanh(np.float64(bias))
    assert float(slope) * activation == pytest.approx(risen, abs=5e-7)


def test_the_map_explains_the_margin_of_every_film_entirely() -> None:
    served = small_export().served
    answers = answer_network(served, [drawn_films(6), np.zeros((1, 1, 64, 64), dtype=np.uint8)])
    explained = answers[CAM].mean(axis=(1, 2)) + explanation_base(served.network)
    assert np.abs(explained - answers[MARGIN]).max() <= 1e-5
    assert answers[CAM].shape == (7, 2, 2)
    assert np.ptp(answers[CAM]) > 0


def test_a_film_without_any_activation_has_an_empty_map_and_the_base_as_margin() -> None:
    class Blind(TriageNetwork):
        def feature_maps(self, film: Tensor) -> Tensor:
            return torch.zeros(len(film), 512, 2, 2)

    torch.manual_seed(0)
    blind = Blind(NetworkRecipe(architecture="resnet18", hidden=8, dropout=0.0)).eval()
    answers = answer_network(ServedNetwork(blind, temperature=1.0), [drawn_films(2)])
    assert not answers[CAM].any()
    assert answers[MARGIN] == pytest.approx(explanation_base(blind), abs=1e-6)


def test_all_answers_come_in_the_order_of_their_names() -> None:
    served = small_export().served
    assert served.output_names == (PROBABILITY, FINDINGS, CAM, EMBEDDING, MARGIN)
    answers = answer_network(served, [drawn_films(3), drawn_films(2, first=3)])
    assert answers[FINDINGS].shape == (5, len(LABELS))
    assert answers[EMBEDDING].shape == (5, 4)
    logits = served.network(torch.from_numpy(drawn_films(5))).detach()
    torch.testing.assert_close(torch.from_numpy(answers[FINDINGS]).float(), torch.sigmoid(logits[:, 2:]))


def test_a_network_without_findings_or_embedding_has_no_such_outputs() -> None:
    bare = TriageNetwork(NetworkRecipe(architecture="resnet18", hidden=8, dropout=0.0)).eval()
    assert ServedNetwork(bare, temperature=1.0).output_names == (PROBABILITY, CAM, MARGIN)


def test_served_logit_is_the_margin_over_the_temperature_plus_the_shift() -> None:
    films = [drawn_films(4)]
    served = small_export().served
    expected = margins(served.network, films) / 1.7 - 0.6
    assert answer_network(served, films)[PROBABILITY] == pytest.approx(1 / (1 + np.exp(-expected)), abs=1e-6)


@settings(deadline=None)
@given(st.floats(-6, 6), st.floats(0.05, 20), st.lists(st.floats(-30, 30, width=32), min_size=2, max_size=20))
def test_neither_shift_nor_temperature_ever_changes_the_rank(
    shift: float, temperature: float, logits: list[float]
) -> None:
    class Given(nn.Module):
        """A backbone that answers with the margins themselves."""

        head = nn.Sequential(nn.Linear(1, 1, bias=True), nn.Tanh(), nn.Dropout(), nn.Linear(1, 2))

        def feature_maps(self, film: Tensor) -> Tensor:
            return film.reshape(-1, 1, 1, 1)

    network = Given().eval()
    margin = torch.sort(torch.tensor(logits)).values
    with torch.no_grad():
        probability, _, margin = ServedNetwork(network, temperature=temperature, prior_shift=shift)(margin)  # type: ignore[arg-type]
    order = torch.argsort(margin, stable=True)
    assert (torch.diff(probability[order]) >= 0).all()


def test_folded_and_rounded_network_stays_close_to_the_trained_one() -> None:
    films = [drawn_films(8)]
    folded = prepare_for_export(small_network(), half_precision_weights=False)
    assert margins(folded, films) == pytest.approx(margins(small_network(), films), abs=1e-4)
    rounded = prepare_for_export(small_network(), half_precision_weights=True)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in rounded.modules())
    heavy = [parameter for parameter in rounded.parameters() if parameter.numel() >= 1024]
    assert all(torch.equal(parameter, parameter.half().float()) for parameter in heavy)
    assert margins(rounded, films) == pytest.approx(margins(small_network(), films), abs=1e-2)
