from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor, nn

from model.runtime import check_network
from tests.support.exports import LABELS, SIZE, drawn_films, small_export
from training.graphs.graph import graph_outputs, open_graph, pack_graph, quiet, score_graph
from training.graphs.parity import completeness, require_parity
from training.graphs.served import (
    CAM,
    EMBEDDING,
    FILM,
    FINDINGS,
    MARGIN,
    PROBABILITY,
    answer_network,
    explanation_base,
    logistic,
    secant_slopes,
)

EVERYTHING = (PROBABILITY, FINDINGS, CAM, EMBEDDING, MARGIN)


@pytest.fixture(scope="module")
def graph() -> bytes:
    return pack_graph(small_export().proto, half_precision_weights=True)


def test_graph_answers_as_the_network_in_every_output(graph: bytes) -> None:
    films = [drawn_films(8)]
    answers = graph_outputs(graph, films, threads=1, names=EVERYTHING)
    differences = require_parity(answer_network(small_export().served, films), answers, 1e-5)
    assert set(differences) == set(EVERYTHING)


def test_the_map_of_the_graph_itself_explains_its_margin(graph: bytes) -> None:
    films = [drawn_films(8), np.zeros((1, 1, SIZE, SIZE), np.uint8), np.full((1, 1, SIZE, SIZE), 255, np.uint8)]
    answers = graph_outputs(graph, films, threads=1, names=(CAM, MARGIN))
    assert completeness(answers, explanation_base(small_export().served.network)) <= 1e-5


def test_a_film_is_answered_alike_in_any_batch(graph: bytes) -> None:
    films = drawn_films(7)
    whole = graph_outputs(graph, [films], threads=1, names=EVERYTHING)
    for size in (1, 3):
        blocks = [films[start : start + size] for start in range(0, 7, size)]
        parts = graph_outputs(graph, blocks, threads=1, names=EVERYTHING)
        for name in EVERYTHING:
            np.testing.assert_allclose(parts[name], whole[name], rtol=0, atol=2e-6)


def test_the_file_that_ships_is_self_contained_and_has_the_agreed_signature(graph: bytes) -> None:
    check_network(graph)
    session = open_graph(graph, threads=1)
    assert [node.name for node in session.get_inputs()] == [FILM]
    shapes = {node.name: node.shape[1:] for node in session.get_outputs()}
    assert shapes == {PROBABILITY: [], FINDINGS: [len(LABELS)], CAM: [2, 2], EMBEDDING: [4]}


def test_outputs_that_a_graph_does_not_have_are_left_out(graph: bytes) -> None:
    answers = graph_outputs(graph, [drawn_films(2)], threads=1, names=(PROBABILITY, "colour"))
    assert set(answers) == {PROBABILITY}
    assert score_graph(graph, [drawn_films(2)], threads=1) == pytest.approx(answers[PROBABILITY])


def test_half_of_the_bytes_give_the_very_same_answers(graph: bytes) -> None:
    full = pack_graph(small_export().proto, half_precision_weights=False)
    assert len(graph) < 0.52 * len(full)
    films = [drawn_films(4)]
    assert score_graph(graph, films, threads=1).tolist() == score_graph(full, films, threads=1).tolist()


def test_a_graph_names_no_path_of_this_machine(graph: bytes) -> None:
    assert b"/site-packages/" not in graph
    assert str(Path(__file__).parents[3]).encode() not in graph


def test_exported_slopes_hold_at_nothing_and_far_beyond_saturation() -> None:
    class Slopes(nn.Module):
        def forward(self, activation: Tensor, bias: Tensor) -> Tensor:
            return secant_slopes(activation, bias)

    activation = torch.tensor([[0.0, -0.0, 1e-38], [1e-8, -1e-3, 0.01], [1.0, -30.0, 1e30]])
    bias = torch.tensor([0.5, -2.0, 12.0])
    with quiet():
        program = torch.onnx.export(
            Slopes(), (activation, bias), input_names=["a", "b"], opset_version=20, dynamo=True, external_data=False,
            verbose=False,
        )  # fmt: skip
    assert program is not None
    session = open_graph(program.model_proto.SerializeToString(), threads=1)
    slopes = session.run(None, {"a": activation.numpy(), "b": bias.numpy()})[0]
    assert np.isfinite(slopes).all()
    np.testing.assert_allclose(slopes, secant_slopes(activation, bias).numpy(), rtol=1e-5, atol=2e-7)


def test_probabilities_of_the_runtime_never_fall_where_logits_rise_and_stay_within_bounds() -> None:
    class Logistic(nn.Module):
        def forward(self, logits: Tensor) -> Tensor:
            return logistic(logits)

    logits = np.unique(np.linspace(-120, 120, 400_001, dtype=np.float32))
    with quiet():
        program = torch.onnx.export(
            Logistic(), (torch.from_numpy(logits),), input_names=["logits"], opset_version=20, dynamo=True,
            external_data=False, verbose=False,
        )  # fmt: skip
    assert program is not None
    session = open_graph(program.model_proto.SerializeToString(), threads=1)
    probabilities = session.run(None, {"logits": logits})[0]
    assert (np.diff(probabilities) >= 0).all()
    assert (probabilities.min(), probabilities.max()) == (0.0, 1.0)
    np.testing.assert_allclose(probabilities, 1 / (1 + np.exp(-logits.astype(np.float64))), rtol=0, atol=2e-7)


def test_the_graph_computes_probabilities_without_the_runtimes_sigmoid(graph: bytes) -> None:
    assert "Sigmoid" not in {node.op_type for node in onnx.load_model_from_string(graph).graph.node}


def test_packing_leaves_the_graph_it_was_given_as_it_was() -> None:
    before = small_export().proto.SerializeToString()
    pack_graph(small_export().proto, half_precision_weights=True)
    assert small_export().proto.SerializeToString() == before
    assert MARGIN in {output.name for output in onnx.load_model_from_string(before).graph.output}
