"""The network as it is served: one pass over the backbone, and all that a decision and its explanation need.

Folds and rounds the trained network first, so that the exported graph can be held against exactly the network it came
from. Must not know ONNX, files or films' origins.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Final

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

from model import image
from training.learning.network import TriageNetwork
from training.statistics.metrics import Floats

FILM: Final = "film"
PROBABILITY: Final = "probability"
FINDINGS: Final = "findings"
CAM: Final = "cam"
EMBEDDING: Final = "embedding"
MARGIN: Final = "margin"

# Biases and scales stay in float32: they are few, and rounding them costs more than their bytes are worth.
HALVED_FROM: Final = 1024
# Below this, tanh(a) / a is 1 - a^2 / 3 to within 2e-9, less than float32 resolves.
_SERIES_BELOW = 1e-2


class ServedNetwork(nn.Module):
    """Films in; probability, findings, class activation map, embedding and margin out, as ``output_names`` says.

    Parameters
    ----------
    network
        As ``prepare_for_export`` returns it.
    temperature, prior_shift
        The served logit is ``margin / temperature + prior_shift``, both rising, so that no film changes its rank.
    embedding
        Maps films ``(n, 1, s, s)`` uint8 to ``(n, d)``; ``None`` for a graph without gate.
    """

    def __init__(
        self,
        network: TriageNetwork,
        *,
        temperature: float,
        prior_shift: float = 0.0,
        embedding: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.network = network
        self.embedding = embedding
        self._temperature = temperature
        self._prior_shift = prior_shift

    @property
    def output_names(self) -> tuple[str, ...]:
        """Names of what ``forward`` returns, in order."""
        findings = (FINDINGS,) if _last_layer(self.network).out_features > 2 else ()
        embedding = () if self.embedding is None else (EMBEDDING,)
        return (PROBABILITY, *findings, CAM, *embedding, MARGIN)

    def forward(self, film: Tensor) -> tuple[Tensor, ...]:
        """Answer films ``(n, 1, s, s)`` uint8.

        Returns
        -------
        tuple
            ``probability`` ``(n,)``; ``findings`` ``(n, k)`` in 0..1 where the network has them; ``cam``
            ``(n, hc, wc)``; ``embedding`` ``(n, d)`` where there is one; ``margin`` ``(n,)``, the difference of the
            two logits, which is what the map explains. All float32.
        """
        maps = self.network.feature_maps(film)
        first, last = _first_layer(self.network), _last_layer(self.network)
        activation = functional.linear(maps.mean(dim=(2, 3)), first.weight)
        logits = last(torch.tanh(activation + first.bias))
        margin = logits[:, 1] - logits[:, 0]
        answers = [logistic(margin / self._temperature + self._prior_shift)]
        if FINDINGS in self.output_names:
            answers.append(logistic(logits[:, 2:]))
        channel_weights = ((last.weight[1] - last.weight[0]) * secant_slopes(activation, first.bias)) @ first.weight
        answers.append((channel_weights.unsqueeze(1) @ maps.flatten(2)).reshape(-1, *maps.shape[2:]))
        if self.embedding is not None:
            answers.append(self.embedding(film))
        return (*answers, margin)


def logistic(logits: Tensor) -> Tensor:
    """Return probabilities that rise with their logits and stay within 0..1, also as onnxruntime computes them.

    Its own Sigmoid, an approximation by polynomials, reaches 1.0000001, gives 0 below -18 and orders neighbouring
    logits wrongly by up to 2.4e-7 (1.31.1 on a CPU, measured 2026-11-21): enough to swap two films at a threshold.
    """
    return 1 / (1 + torch.exp(-logits))


def secant_slopes(activation: Tensor, bias: Tensor) -> Tensor:
    """Return ``(tanh(a + b) - tanh(b)) / a``, at 0 its limit ``1 - tanh(b)^2``; ``a`` is ``(n, j)``, ``b`` ``(j,)``.

    With these slopes a tanh head is linear between the empty film and this one, which makes the class activation map
    exact: its mean plus the head at no activation is the margin (integrated gradients in closed form, ML.md §B).
    Written as ``tanh(a) / a * (1 - tanh(a + b) * tanh(b))``, the same by the addition theorem, because the difference
    of two nearly equal tanh loses all its digits where ``a`` is small.
    """
    is_small = activation.abs() < _SERIES_BELOW
    divisor = torch.where(is_small, torch.ones_like(activation), activation)
    ratio = torch.where(is_small, 1 - activation * activation / 3, torch.tanh(divisor) / divisor)
    return ratio * (1 - torch.tanh(activation + bias) * torch.tanh(bias))


def explanation_base(network: TriageNetwork) -> float:
    """Return the difference of the two logits for a film whose feature maps are all 0: the head's own leaning."""
    with torch.inference_mode():
        first, last = _first_layer(network), _last_layer(network)
        logits = last.weight.double() @ torch.tanh(first.bias.double()) + last.bias.double()
    return float(logits[1] - logits[0])


def prepare_for_export(network: TriageNetwork, *, half_precision_weights: bool) -> TriageNetwork:
    """Return a copy in evaluation mode with batch normalisation folded in and, if asked, weights rounded to float16."""
    prepared: TriageNetwork = copy.deepcopy(network).cpu().eval()
    for module in list(prepared.backbone.modules()):
        _fold_batch_norm(module)
    if half_precision_weights:
        with torch.no_grad():
            for parameter in prepared.parameters():
                if parameter.numel() >= HALVED_FROM:
                    parameter.copy_(parameter.half().float())
    return prepared


def margins(network: TriageNetwork, batches: Iterable[image.Tensor]) -> Floats:
    """Return the logit differences ``(n,)`` of batches ``(b, 1, s, s)`` uint8; positive leans to unhealthy."""
    with torch.inference_mode():
        logits = torch.cat([network(torch.from_numpy(films)) for films in batches])
    return np.asarray((logits[:, 1] - logits[:, 0]).double().numpy())


def answer_network(served: ServedNetwork, batches: Iterable[image.Tensor]) -> dict[str, Floats]:
    """Return what torch answers for batches ``(b, 1, s, s)`` uint8: float64 arrays over all films, by output name."""
    with torch.inference_mode():
        answers = [served(torch.from_numpy(films)) for films in batches]
    columns = zip(served.output_names, zip(*answers, strict=True), strict=True)
    return {name: np.asarray(torch.cat(parts).double().numpy()) for name, parts in columns}


def _first_layer(network: TriageNetwork) -> nn.Linear:
    layer = network.head[0]
    assert isinstance(layer, nn.Linear)
    return layer


def _last_layer(network: TriageNetwork) -> nn.Linear:
    layer = network.head[-1]
    assert isinstance(layer, nn.Linear)
    return layer


def _fold_batch_norm(module: nn.Module) -> None:
    children = dict(module.named_children())
    pairs = [(f"conv{index}", f"bn{index}") for index in (1, 2, 3)]
    if isinstance(module, nn.Sequential):
        pairs = [("0", "1")]
    for conv_name, norm_name in pairs:
        conv, norm = children.get(conv_name), children.get(norm_name)
        if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
            setattr(module, conv_name, fuse_conv_bn_eval(conv, norm))
            setattr(module, norm_name, nn.Identity())
