"""Small networks of every kind, each exported once for all tests that look at graphs."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from model.phantom import chest_phantom
from training.datasets.inputs import Inputs
from training.graphs.explanation import linear_layers
from training.graphs.export_facts import ExportFacts, QuantisedFacts, ReferenceFacts, Variants
from training.graphs.folding import prepare_for_export
from training.graphs.graph import export_graph
from training.graphs.served import ServedNetwork
from training.networks.network import TriageNetwork
from training.recipe import NetworkRecipe

SIZE = 64
LABELS = ("Effusion", "Mass", "Nodule")
SHA256 = "a" * 64
TEMPERATURE, PRIOR_SHIFT = 1.7, -0.6
# Of networks that answer findings alone.
CALIBRATION_OFFSET = 0.4
# Uniform starts make heads that hardly answer; trained ones reach margins of several units.
_HEAD_GAIN = 3.0

SMALL = NetworkRecipe(architecture="resnet18", hidden=(8,), dropout=0.2, findings=LABELS)
# One of each: backbone, pooling, activation, hidden layers, rule of the probability, age and sex, normalisation.
KINDS: dict[str, NetworkRecipe] = {
    "residual": SMALL.model_copy(update={"age_sex": True}),
    "convolutional": NetworkRecipe(
        architecture="convolutional",
        filters=(4, 8, 8),
        block_dropout=0.2,
        pooling="flatten",
        hidden=(16, 8),
        activation="relu",
        dropout=0.4,
        any_finding=False,
        findings=(*LABELS, "Edema", "Hernia", "Mass right", "Mass left"),
        age_sex=True,
    ),
    "mobile": NetworkRecipe(
        architecture="mobilenet", hidden=(), dropout=0.0, normalisation="film", any_finding=False, findings=LABELS
    ),
    "dense": NetworkRecipe(
        architecture="densenet121", hidden=(8, 8), dropout=0.1, normalisation="imagenet", age_sex=True
    ),
}


class Edges(nn.Module):
    """An embedding that convolves the film itself, as the real one does."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("edges", torch.tensor([[-1.0, 1.0], [-1.0, 1.0]]).expand(4, 1, 2, 2).clone())

    def forward(self, film: Tensor) -> Tensor:
        """Return ``(n, 4)``."""
        return nn.functional.conv2d(film.float() / 255, self.edges).abs().mean(dim=(2, 3))


@dataclass(frozen=True, kw_only=True)
class SmallExport:
    """A network with used batch normalisation, what it becomes for serving, and its float32 graph with margin."""

    network: TriageNetwork
    served: ServedNetwork
    proto: onnx.ModelProto


def drawn_films(count: int, *, first: int = 0) -> np.ndarray:
    """Return drawings ``(n, 1, s, s)`` uint8."""
    drawings = [
        chest_phantom(seed, rows=SIZE, columns=SIZE, opacity=(seed % 5) / 4) for seed in range(first, first + count)
    ]
    return np.stack([np.rint(drawing * 255).astype(np.uint8)[np.newaxis] for drawing in drawings])


def drawn_inputs(count: int, *, first: int = 0, with_age_sex: bool = False) -> Inputs:
    """Return drawings, with ages and sexes of which some are unknown."""
    films = drawn_films(count, first=first)
    if not with_age_sex:
        return Inputs(films=films)
    number = np.arange(first, first + count, dtype=np.float32)
    age_sex = np.stack([number * 37 % 100 / 100, number // 2 % 2], axis=1)
    age_sex[number % 4 == 1, 0] = np.nan
    age_sex[number % 3 == 2, 1] = np.nan
    return Inputs(films=films, age_sex=age_sex)


@cache
def used_network(recipe: NetworkRecipe) -> TriageNetwork:
    """Return a random network whose batch normalisation has seen films, in evaluation mode; nobody may change it."""
    torch.manual_seed(5)
    network = TriageNetwork(recipe, size=SIZE)
    network.train()
    with torch.no_grad():
        for start in range(0, 32, 8):
            network(torch.from_numpy(drawn_films(8, first=start)))
        for layer in linear_layers(network):
            layer.weight.mul_(_HEAD_GAIN)
    return network.eval()


def small_network() -> TriageNetwork:
    """Return the random network that most tests look at."""
    return used_network(SMALL)


@cache
def served_of(recipe: NetworkRecipe) -> ServedNetwork:
    """Return what ``used_network`` becomes for serving; nobody may change it."""
    return ServedNetwork(
        prepare_for_export(used_network(recipe), half_precision_weights=True),
        temperature=TEMPERATURE,
        calibration_offset=0.0 if recipe.any_finding else CALIBRATION_OFFSET,
        prior_shift=PRIOR_SHIFT,
        embedding=Edges(),
    ).eval()


@cache
def export_of(recipe: NetworkRecipe) -> SmallExport:
    """Return the one export of this network in this process, which takes seconds; nobody may change it."""
    served = served_of(recipe)
    return SmallExport(network=used_network(recipe), served=served, proto=export_graph(served, size=SIZE, opset=20))


def small_export() -> SmallExport:
    """Return the export of ``small_network``."""
    return export_of(SMALL)


def export_facts(*, int8: bool = False, **changes: object) -> ExportFacts:
    """Return facts of an export that passed every check; ``changes`` go to the variant that ships."""
    common: dict[str, Any] = {
        "sha256": SHA256,
        "graph_bytes": 100,
        "auc_calibrate": 0.8,
        "explanation_base": 0.1,
        "completeness_max_difference": 1e-6,
        "completeness_tolerance": 1e-5,
    }
    reference = {
        "parity": {"probability": 1e-7, "cam": 2e-7},
        "parity_max_difference": 1e-7,
        "parity_films": 64,
        "parity_tolerance": 1e-5,
    }
    quantised = {
        "auc_loss": 0.001,
        "max_difference": 0.05,
        "mean_difference": 0.002,
        "cam_correlation_median": 0.99,
        "cam_correlation_lowest": 0.9,
        "range_films": 256,
        "milliseconds": 10.0,
        "fp32_milliseconds": 30.0,
        "graph_bytes": 50,
    }
    return ExportFacts(
        ships="int8" if int8 else "fp32",
        why="a test",
        opset=20,
        temperature=1.0,
        prior_shift=0.0,
        calibrate_prevalence=0.5,
        variants=Variants(
            fp32=ReferenceFacts.model_validate(common | reference | ({} if int8 else changes)),
            int8=QuantisedFacts.model_validate(common | quantised | changes) if int8 else None,
        ),
        gate=None,
    )
