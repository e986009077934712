"""The map of every head adds up to its margin, and is not only complete but the explanation it claims to be."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import Tensor

from model.demographics import unknown_age_sex
from tests.support.exports import KINDS, LABELS, SIZE, SMALL, drawn_inputs, used_network
from training.datasets.inputs import Inputs
from training.graphs.explanation import explain, explanation_base, explanation_bases, linear_layers
from training.graphs.parity import COMPLETENESS_TOLERANCE, completeness
from training.graphs.served import CAM, MARGIN, PROBABILITY, ServedNetwork, answer_network, margins
from training.networks.answers import log_odds_of_any, margin
from training.networks.network import TriageNetwork
from training.recipe import NetworkRecipe

HEADS = {
    f"{pooling}-{activation}-{len(hidden)}-{'any' if any_finding else 'findings'}": NetworkRecipe(
        architecture="convolutional",
        filters=(4, 8),
        pooling=pooling,
        hidden=hidden,
        activation=activation,
        dropout=0.1,
        any_finding=any_finding,
        findings=LABELS,
        age_sex=True,
    )
    for pooling in ("average", "flatten")
    for activation in ("tanh", "relu")
    for hidden in ((), (8,), (16, 8, 4))
    for any_finding in (True, False)
}


def all_films(*, with_age_sex: bool) -> Inputs:
    """Drawings, noise, black and white."""
    noise = np.random.default_rng(0).integers(0, 256, (3, 1, SIZE, SIZE)).astype(np.uint8)
    flat = np.stack([np.full((1, SIZE, SIZE), value, np.uint8) for value in (0, 255)])
    drawn = drawn_inputs(11, with_age_sex=with_age_sex)
    return Inputs(films=np.concatenate([drawn.films[:6], noise, flat]), age_sex=drawn.age_sex)


def with_gain(network: TriageNetwork, gain: float) -> TriageNetwork:
    """The same network with an answer so many times as sure."""
    surer = copy.deepcopy(network)
    with torch.no_grad():
        last = linear_layers(surer)[-1]
        last.weight.mul_(gain)
        last.bias.mul_(gain)
    return surer


@pytest.mark.parametrize("recipe", HEADS.values(), ids=HEADS)
@pytest.mark.parametrize("gain", [0.01, 1.0, 60.0], ids=["faint", "usual", "saturated"])
def test_the_map_explains_the_margin_of_every_film_entirely(recipe: NetworkRecipe, gain: float) -> None:
    network, films = with_gain(used_network(recipe), gain), all_films(with_age_sex=True)
    answers = answer_network(ServedNetwork(network, temperature=1.0).eval(), [films])
    assert films.age_sex is not None
    assert completeness(answers, explanation_bases(network, films.age_sex)) <= COMPLETENESS_TOLERANCE
    assert np.ptp(answers[MARGIN]) > 0
    # The network as it was trained says the same.
    assert answers[MARGIN] == pytest.approx(margins(network, [films]), rel=1e-5, abs=1e-5)


@pytest.mark.parametrize("log_odds", [-50.0, -20.0, 0.0, 20.0, 50.0])
def test_findings_of_any_certainty_have_a_finite_and_complete_map(log_odds: float) -> None:
    network = copy.deepcopy(used_network(HEADS["flatten-relu-1-findings"]))
    with torch.no_grad():
        linear_layers(network)[-1].bias.fill_(-60).index_fill_(0, torch.tensor([1]), log_odds)
    films = all_films(with_age_sex=True)
    answers = answer_network(ServedNetwork(network, temperature=1.0).eval(), [films])
    assert films.age_sex is not None
    assert np.abs(answers[MARGIN] - log_odds).max() < 15
    assert np.ptp(answers[CAM]) > 0
    assert completeness(answers, explanation_bases(network, films.age_sex)) <= COMPLETENESS_TOLERANCE


def test_findings_surer_than_float32_can_say_leave_an_empty_map_and_no_nan() -> None:
    network = copy.deepcopy(used_network(HEADS["average-relu-0-findings"]))
    with torch.no_grad():
        linear_layers(network)[-1].bias.fill_(-120)
    answers = answer_network(ServedNetwork(network, temperature=1.0).eval(), [all_films(with_age_sex=True)])
    assert not answers[CAM].any()
    assert all(np.isfinite(values).all() for values in answers.values())


def integrated_gradients(network: TriageNetwork, features: Tensor, age_sex: Tensor | None) -> Tensor:
    """Mean gradient of the margin on the straight way from no features to these (Sundararajan et al., ICML 2017)."""
    nodes, weights = np.polynomial.legendre.leggauss(64)
    total = torch.zeros_like(features)
    for node, weight in zip(nodes, weights, strict=True):
        at = ((node + 1) / 2 * features).requires_grad_()
        answer = margin(network.head(network.joined(at, age_sex)), any_finding=network.recipe.any_finding)
        (gradient,) = torch.autograd.grad(answer.sum(), at)
        total += weight / 2 * gradient
    return total


@pytest.mark.parametrize("recipe", [SMALL, KINDS["residual"]], ids=["films-alone", "with-age-and-sex"])
def test_for_one_hidden_tanh_layer_the_weights_are_integrated_gradients(recipe: NetworkRecipe) -> None:
    network, films = used_network(recipe), drawn_inputs(4, with_age_sex=recipe.age_sex)
    age_sex = None if films.age_sex is None else torch.from_numpy(films.age_sex)
    with torch.inference_mode(mode=False), torch.no_grad():
        features = network.features(torch.from_numpy(films.films))
        weights = explain(network, features, age_sex).weights
    expected = integrated_gradients(network, features, age_sex)
    torch.testing.assert_close(weights, expected, rtol=1e-4, atol=1e-6)


def test_a_head_without_hidden_layers_weighs_features_as_its_own_matrix_does() -> None:
    network = used_network(HEADS["average-tanh-0-any"])
    with torch.no_grad():
        weights = explain(network, torch.rand(3, network.width), None).weights
    (last,) = linear_layers(network)
    expected = (last.weight[1] - last.weight[0])[: network.width].detach()
    torch.testing.assert_close(weights, expected.expand(1, -1))


def test_the_base_is_what_the_network_says_of_a_film_without_features() -> None:
    for recipe in KINDS.values():
        network = used_network(recipe)
        inputs = drawn_inputs(5, with_age_sex=recipe.age_sex)
        age_sex = None if inputs.age_sex is None else torch.from_numpy(inputs.age_sex)
        with torch.no_grad():
            logits = network.head(network.joined(torch.zeros(5, network.width), age_sex))
        expected = margin(logits, any_finding=recipe.any_finding).numpy()
        bases = explanation_bases(network, unknown_age_sex(5) if inputs.age_sex is None else inputs.age_sex)
        np.testing.assert_allclose(bases, expected, rtol=1e-5, atol=1e-6)
        assert bool(np.ptp(bases)) is recipe.age_sex


def test_the_base_of_a_bundle_is_that_of_unknown_age_and_sex() -> None:
    network = used_network(KINDS["residual"])
    known = np.array([[0.8, 1.0]], np.float32)
    assert explanation_base(network) == explanation_bases(network, unknown_age_sex(1))[0]
    assert explanation_base(network) != explanation_bases(network, known)[0]


def test_a_film_without_any_feature_has_an_empty_map_and_the_base_as_margin() -> None:
    class Blind(TriageNetwork):
        def feature_maps(self, film: Tensor) -> Tensor:
            return torch.zeros(len(film), 512, 2, 2)

    torch.manual_seed(0)
    blind = Blind(SMALL, size=SIZE).eval()
    answers = answer_network(ServedNetwork(blind, temperature=1.0), [drawn_inputs(2)])
    assert not answers[CAM].any()
    assert answers[MARGIN] == pytest.approx(explanation_base(blind), abs=1e-6)
    assert np.isfinite(answers[PROBABILITY]).all()


@pytest.mark.parametrize("findings", [1, 2, 3, 7, 14])
@pytest.mark.parametrize("shift", [-60.0, -20.0, -8.0, 0.0, 8.0, 50.0])
def test_the_log_odds_of_any_finding_keep_their_digits(findings: int, shift: float) -> None:
    logits = np.random.default_rng(findings).normal(shift, 2, (20, findings)).astype(np.float32)
    # log P(none) of independent findings, in long doubles.
    total = np.log1p(np.exp(logits.astype(np.longdouble))).sum(axis=1)
    expected = (total + np.log(-np.expm1(-total))).astype(np.float64)
    found = log_odds_of_any(torch.from_numpy(logits)).numpy()
    np.testing.assert_allclose(found, expected, rtol=5e-7, atol=5e-7)
