from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from model.runtime import check_network
from tests.support.exports import drawn_films, small_export
from training.graphs.graph import graph_outputs, pack_graph
from training.graphs.parity import completeness
from training.graphs.quantisation import quantise
from training.graphs.served import CAM, EMBEDDING, FINDINGS, MARGIN, PROBABILITY, explanation_base

# What a trained network loses in int8 is measured in the export step; on random weights parity means nothing.


@pytest.fixture(scope="module")
def quantised() -> bytes:
    proto = quantise(small_export().proto, [drawn_films(8), drawn_films(8, first=8)])
    return pack_graph(proto, half_precision_weights=True)


def test_the_residual_stages_are_in_eight_bits_and_nothing_else(quantised: bytes) -> None:
    graph = onnx.load_model_from_string(quantised).graph
    makers = {output: node for node in graph.node for output in node.output}
    convolutions = {node.input[1]: node for node in graph.node if node.op_type == "Conv"}
    eight_bit = {name for name in convolutions if name in makers and makers[name].op_type == "DequantizeLinear"}
    assert len(eight_bit) == 19
    assert {name.split(".float16")[0] for name in set(convolutions) - eight_bit} == {
        "network.backbone.conv1.weight",
        "embedding.edges",
    }
    head = [node for node in graph.node if node.op_type in ("Gemm", "MatMul")]
    assert head
    assert not any(makers[name].op_type == "DequantizeLinear" for node in head for name in node.input if name in makers)


def test_weights_have_a_scale_each_channel_and_seven_bits_that_no_processor_saturates(quantised: bytes) -> None:
    initialisers = {tensor.name: tensor for tensor in onnx.load_model_from_string(quantised).graph.initializer}
    weights = [
        numpy_helper.to_array(tensor) for tensor in initialisers.values() if tensor.data_type == onnx.TensorProto.INT8
    ]
    filters = [values for values in weights if values.ndim == 4]
    assert filters
    assert all(np.abs(values.astype(int)).max() <= 64 for values in filters)
    scales = [name for name in initialisers if name.endswith("_scale") and "weight" in name]
    assert len(scales) >= len(filters)
    assert all(len(numpy_helper.to_array(initialisers[name])) > 1 for name in scales)


def test_the_runtime_accepts_the_int8_graph_and_it_is_smaller(quantised: bytes) -> None:
    check_network(quantised)
    assert len(quantised) < 0.6 * len(pack_graph(small_export().proto, half_precision_weights=True))


def test_the_map_of_the_int8_graph_explains_the_int8_margin(quantised: bytes) -> None:
    answers = graph_outputs(quantised, [drawn_films(8)], threads=1, names=(CAM, MARGIN))
    assert completeness(answers, explanation_base(small_export().served.network)) <= 1e-5


def test_an_int8_film_is_answered_alike_in_any_batch(quantised: bytes) -> None:
    films, names = drawn_films(5), (PROBABILITY, FINDINGS, CAM, EMBEDDING)
    whole = graph_outputs(quantised, [films], threads=1, names=names)
    single = graph_outputs(quantised, [films[row : row + 1] for row in range(5)], threads=1, names=names)
    for name in names:
        np.testing.assert_allclose(single[name], whole[name], rtol=0, atol=2e-6)
