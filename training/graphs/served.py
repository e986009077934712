"""The network as it is served: one pass over the backbone, and all that a decision and its explanation need.

Wants the network as ``folding`` prepares it. Must not know ONNX, files or films' origins.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from model.demographics import unknown_age_sex
from training.datasets.inputs import Inputs
from training.graphs.explanation import explain
from training.graphs.slopes import logistic
from training.networks.answers import finding_logits, margin
from training.networks.network import TriageNetwork
from training.statistics.metrics import Floats

FILM: Final = "film"
AGE_SEX: Final = "age_sex"
PROBABILITY: Final = "probability"
FINDINGS: Final = "findings"
CAM: Final = "cam"
EMBEDDING: Final = "embedding"
MARGIN: Final = "margin"


class ServedNetwork(nn.Module):
    """Films in; probability, findings, class activation map, embedding and margin out, as ``output_names`` says.

    Parameters
    ----------
    network
        As ``prepare_for_export`` returns it.
    temperature, calibration_offset, prior_shift
        The served logit is ``margin / temperature + calibration_offset + prior_shift``; temperature is above 0, so that
        no film changes its rank.
    embedding
        Maps films ``(n, 1, s, s)`` uint8 to ``(n, d)``; ``None`` for a graph without gate.
    """

    def __init__(
        self,
        network: TriageNetwork,
        *,
        temperature: float,
        calibration_offset: float = 0.0,
        prior_shift: float = 0.0,
        embedding: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.network = network
        self.embedding = embedding
        self._temperature = temperature
        self._shift = calibration_offset + prior_shift

    @property
    def input_names(self) -> tuple[str, ...]:
        """Names of what ``forward`` takes, in order."""
        return (FILM, AGE_SEX) if self.network.recipe.age_sex else (FILM,)

    @property
    def output_names(self) -> tuple[str, ...]:
        """Names of what ``forward`` returns, in order."""
        findings = (FINDINGS,) if self.network.recipe.findings else ()
        embedding = () if self.embedding is None else (EMBEDDING,)
        return (PROBABILITY, *findings, CAM, *embedding, MARGIN)

    def forward(self, film: Tensor, age_sex: Tensor | None = None) -> tuple[Tensor, ...]:
        """Answer films ``(n, 1, s, s)`` uint8, with age and sex ``(n, 2)`` where the network asks for them.

        NaN is unknown; ``None`` says that of every film.

        Returns
        -------
        tuple
            ``probability`` ``(n,)``; ``findings`` ``(n, k)`` in 0..1 where the network has them; ``cam``
            ``(n, hc, wc)``; ``embedding`` ``(n, d)`` where there is one; ``margin`` ``(n,)``, the log-odds before
            calibration, which is what the map explains. All float32.
        """
        recipe = self.network.recipe
        maps = self.network.feature_maps(film)
        explained = explain(self.network, self.network.pooled(maps), age_sex)
        answers = [logistic(explained.margin / self._temperature + self._shift)]
        if recipe.findings:
            answers.append(logistic(finding_logits(explained.logits, any_finding=recipe.any_finding)))
        answers.append(_spread(explained.weights, maps, is_averaged=recipe.pooling == "average"))
        if self.embedding is not None:
            answers.append(self.embedding(film))
        return (*answers, explained.margin)


def feed(inputs: Inputs, names: Collection[str]) -> dict[str, NDArray[Any]]:
    """Return what a graph with the inputs ``names`` is fed; age and sex that nobody gave are unknown."""
    fed: dict[str, NDArray[Any]] = {FILM: inputs.films}
    if AGE_SEX in names:
        fed[AGE_SEX] = unknown_age_sex(len(inputs)) if inputs.age_sex is None else inputs.age_sex
    return fed


def margins(network: TriageNetwork, batches: Iterable[Inputs]) -> Floats:
    """Return the log-odds of *any finding* before calibration ``(n,)``; positive leans to unhealthy."""
    with torch.inference_mode():
        logits = torch.cat([network(*_tensors(inputs)) for inputs in batches])
        return np.asarray(margin(logits, any_finding=network.recipe.any_finding).double().numpy())


def answer_network(served: ServedNetwork, batches: Iterable[Inputs]) -> dict[str, Floats]:
    """Return what torch answers: float64 arrays over all films, by output name."""
    with torch.inference_mode():
        answers = [served(*_tensors(inputs)) for inputs in batches]
    columns = zip(served.output_names, zip(*answers, strict=True), strict=True)
    return {name: np.asarray(torch.cat(parts).double().numpy()) for name, parts in columns}


def _spread(weights: Tensor, maps: Tensor, *, is_averaged: bool) -> Tensor:
    """Return ``(n, h, w)``: what each place adds, scaled so that the mean over places is features times weights."""
    rows, columns = maps.shape[2:]
    if is_averaged:
        return (weights.unsqueeze(1) @ maps.flatten(2)).reshape(-1, rows, columns)
    return (weights.reshape(-1, *maps.shape[1:]) * maps).sum(dim=1) * (rows * columns)


def _tensors(inputs: Inputs) -> tuple[Tensor, Tensor | None]:
    return torch.from_numpy(inputs.films), None if inputs.age_sex is None else torch.from_numpy(inputs.age_sex)
