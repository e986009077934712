from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from model.demographics import unknown_age_sex
from model.network_check import check_network
from tests.support.exports import KINDS, LABELS, SIZE, drawn_films, drawn_inputs, export_of, small_export
from training.datasets.inputs import Inputs
from training.graphs.explanation import explanation_base, explanation_bases
from training.graphs.graph import graph_outputs, open_graph, pack_graph, score_graph
from training.graphs.parity import completeness, require_parity
from training.graphs.served import AGE_SEX, CAM, EMBEDDING, FILM, FINDINGS, MARGIN, PROBABILITY, answer_network

EVERYTHING = (PROBABILITY, FINDINGS, CAM, EMBEDDING, MARGIN)


@pytest.fixture(scope="module")
def graph() -> bytes:
    return pack_graph(small_export().proto, half_precision_weights=True)


@pytest.mark.parametrize("kind", KINDS)
def test_a_graph_of_every_kind_answers_as_its_network_and_explains_its_own_margin(kind: str) -> None:
    recipe, export = KINDS[kind], export_of(KINDS[kind])
    packed = pack_graph(export.proto, half_precision_weights=True)
    check_network(packed)
    drawn = drawn_inputs(8, with_age_sex=recipe.age_sex)
    flat = [Inputs(films=np.full((1, 1, SIZE, SIZE), value, np.uint8)) for value in (0, 255)]
    names = export.served.output_names
    answers = graph_outputs(packed, [drawn, *flat], threads=1, names=names)
    differences = require_parity(answer_network(export.served, [drawn, *flat]), answers, 1e-5)
    assert set(differences) == set(names)
    age_sex = unknown_age_sex(10)
    if drawn.age_sex is not None:
        age_sex[:8] = drawn.age_sex
    assert completeness(answers, explanation_bases(export.served.network, age_sex)) <= 1e-5
    assert np.ptp(answers[CAM]) > 0


def test_the_map_of_a_graph_without_age_and_sex_explains_its_margin_from_one_base(graph: bytes) -> None:
    answers = graph_outputs(graph, [drawn_inputs(8)], threads=1, names=(CAM, MARGIN))
    assert completeness(answers, np.array(explanation_base(small_export().served.network))) <= 1e-5


def test_a_graph_counts_age_and_sex_that_nobody_gave_as_unknown() -> None:
    packed = pack_graph(export_of(KINDS["residual"]).proto, half_precision_weights=True)
    inputs = {node.name: (node.type, node.shape) for node in open_graph(packed, threads=1).get_inputs()}
    assert inputs[AGE_SEX] == ("tensor(float)", [inputs[FILM][1][0], 2])
    films = drawn_films(3)
    known = score_graph(packed, [drawn_inputs(3, with_age_sex=True)], threads=1)
    unknown = score_graph(packed, [Inputs(films=films, age_sex=unknown_age_sex(3))], threads=1)
    assert score_graph(packed, [Inputs(films=films)], threads=1).tolist() == unknown.tolist()
    assert np.abs(known - unknown).max() > 1e-4


def test_a_film_is_answered_alike_in_any_batch(graph: bytes) -> None:
    films = drawn_films(7)
    whole = graph_outputs(graph, [Inputs(films=films)], threads=1, names=EVERYTHING)
    for size in (1, 3):
        blocks = [Inputs(films=films[start : start + size]) for start in range(0, 7, size)]
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
    answers = graph_outputs(graph, [drawn_inputs(2)], threads=1, names=(PROBABILITY, "colour"))
    assert set(answers) == {PROBABILITY}
    assert score_graph(graph, [drawn_inputs(2)], threads=1) == pytest.approx(answers[PROBABILITY])


def test_half_of_the_bytes_give_the_very_same_answers(graph: bytes) -> None:
    full = pack_graph(small_export().proto, half_precision_weights=False)
    assert len(graph) < 0.52 * len(full)
    films = [drawn_inputs(4)]
    assert score_graph(graph, films, threads=1).tolist() == score_graph(full, films, threads=1).tolist()


def test_a_graph_names_no_path_of_this_machine(graph: bytes) -> None:
    assert b"/site-packages/" not in graph
    assert str(Path(__file__).parents[3]).encode() not in graph


def test_the_graph_computes_probabilities_without_the_runtimes_sigmoid(graph: bytes) -> None:
    assert "Sigmoid" not in {node.op_type for node in onnx.load_model_from_string(graph).graph.node}


def test_packing_leaves_the_graph_it_was_given_as_it_was() -> None:
    before = small_export().proto.SerializeToString()
    pack_graph(small_export().proto, half_precision_weights=True)
    assert small_export().proto.SerializeToString() == before
    assert MARGIN in {output.name for output in onnx.load_model_from_string(before).graph.output}
