"""What each feature of a film adds to its margin, exactly: the head by the rescale rule of DeepLIFT.

Every unit passes on what it received in proportion, by the slope of its secant from the *base* (a film without any
feature, but with this film's own age and sex) to the film (Shrikumar et al., ICML 2017, arXiv:1704.02685, §3.5.1).
Between the two the head is then linear, so that features times weights plus the base's margin *are* the film's margin.
For one hidden tanh layer that is integrated gradients in closed form (ML.md §B). Must not know maps, ONNX or files;
``served`` spreads the weights over the film.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Final, NamedTuple, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from model.demographics import AgeSex, unknown_age_sex
from training.graphs.slopes import relu_slopes, softplus_slopes, tanh_slopes
from training.networks.answers import log_odds_of_any, margin
from training.networks.network import TriageNetwork
from training.statistics.metrics import Floats

Function: TypeAlias = Callable[[Tensor], Tensor]
Slopes: TypeAlias = Callable[[Tensor, Tensor], Tensor]

_ACTIVATIONS: Final[dict[str, tuple[Function, Slopes]]] = {
    "tanh": (torch.tanh, tanh_slopes),
    "relu": (torch.relu, relu_slopes),
}


class Explained(NamedTuple):
    """What the head answers to ``n`` films, and why.

    Attributes
    ----------
    logits
        ``(n, 2 * any_finding + k)``, the head's own.
    margin
        ``(n,)`` log-odds of *any finding* before calibration.
    weights
        ``(n, width)``, or ``(1, width)`` where all films share them; features times weights add up to the margin's
        distance from its base.
    """

    logits: Tensor
    margin: Tensor
    weights: Tensor


def explain(network: TriageNetwork, features: Tensor, age_sex: Tensor | None) -> Explained:
    """Return logits, margins and weights of ``features`` ``(n, width)`` with ``age_sex`` ``(n, 2)`` or ``None``."""
    recipe = network.recipe
    activation, slopes_of = _ACTIVATIONS[recipe.activation]
    first, *others = linear_layers(network)
    weight = first.weight[:, : network.width] if recipe.age_sex else first.weight
    base, rise = _base_units(network, first, features, age_sex), functional.linear(features, weight)
    slopes: list[Tensor] = []
    for layer in others:
        slopes.append(slopes_of(base, rise))
        base, rise = layer(activation(base)), functional.linear(slopes[-1] * rise, layer.weight)
    weights = _margin_weights(base, rise, any_finding=recipe.any_finding)
    for layer, slope in zip(reversed(others), reversed(slopes), strict=True):
        weights = (weights @ layer.weight) * slope
    logits = base + rise
    return Explained(logits, margin(logits, any_finding=recipe.any_finding), weights @ weight)


def explanation_base(network: TriageNetwork) -> float:
    """Return the margin of a film without any feature whose age and sex are unknown: the head's own leaning."""
    return float(explanation_bases(network, unknown_age_sex(1))[0])


def explanation_bases(network: TriageNetwork, age_sex: AgeSex) -> Floats:
    """Return the margins ``(n,)`` without any feature for age and sex ``(n, 2)``; equal where nothing asks for them."""
    head = copy.deepcopy(network.head).double().eval()
    with torch.inference_mode():
        logits = head(network.joined(torch.zeros(len(age_sex), network.width), torch.from_numpy(age_sex)).double())
        return np.asarray(margin(logits, any_finding=network.recipe.any_finding).numpy())


def linear_layers(network: TriageNetwork) -> list[nn.Linear]:
    """Return the layers of the head that have weights, the one above the features first."""
    return [layer for layer in network.head if isinstance(layer, nn.Linear)]


def _base_units(network: TriageNetwork, first: nn.Linear, features: Tensor, age_sex: Tensor | None) -> Tensor:
    """Return what the first layer's units are without features: ``(1, j)``, or ``(n, j)`` with age and sex."""
    if not network.recipe.age_sex:
        return first.bias.unsqueeze(0)
    known = network.joined(features[:, :0], age_sex)
    return functional.linear(known, first.weight[:, network.width :], first.bias)


def _margin_weights(base: Tensor, rise: Tensor, *, any_finding: bool) -> Tensor:
    """Return how much each logit adds to the margin, ``(n, c)`` or ``(1, c)``.

    Of findings alone: with t(z) = log(1 + exp(z)) the findings' t add up to -log P(none), which is t of the log-odds
    of any. The rule takes the slope of t at each finding, and of its inverse at the log-odds.
    """
    if any_finding:
        return functional.pad(torch.tensor([[-1.0, 1.0]]), (0, base.shape[1] - 2))
    before, after = log_odds_of_any(base), log_odds_of_any(base + rise)
    # Below log-odds of -88 float32 has no slope any more; an empty map is better than one of no numbers.
    slopes = softplus_slopes(before, after - before).clamp(min=torch.finfo(torch.float32).tiny)
    return softplus_slopes(base, rise) / slopes.unsqueeze(1)
