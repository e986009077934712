"""One small network with findings and an embedding, exported once for all tests that look at graphs."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from model.phantom import chest_phantom
from training.graphs.export_facts import ExportFacts, QuantisedFacts, ReferenceFacts, Variants
from training.graphs.graph import export_graph
from training.graphs.served import ServedNetwork, prepare_for_export
from training.learning.network import TriageNetwork
from training.recipe import NetworkRecipe

SIZE = 64
LABELS = ("Effusion", "Mass", "Nodule")
SHA256 = "a" * 64


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


@cache
def small_network() -> TriageNetwork:
    """Return a random network whose batch normalisation has seen films, in evaluation mode."""
    torch.manual_seed(5)
    network = TriageNetwork(NetworkRecipe(architecture="resnet18", hidden=8, dropout=0.2, findings=LABELS))
    network.train()
    with torch.no_grad():
        for start in range(0, 32, 8):
            network(torch.from_numpy(drawn_films(8, first=start)))
    return network.eval()


@cache
def small_export() -> SmallExport:
    """Return the one export of this process; nobody may change it."""
    network = small_network()
    prepared = prepare_for_export(network, half_precision_weights=True)
    served = ServedNetwork(prepared, temperature=1.7, prior_shift=-0.6, embedding=Edges()).eval()
    return SmallExport(network=network, served=served, proto=export_graph(served, size=SIZE, opset=20))


def export_facts(*, int8: bool = False, **changes: object) -> ExportFacts:
    """Return facts of an export that passed every check; ``changes`` go to the variant that ships."""
    common = {
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
