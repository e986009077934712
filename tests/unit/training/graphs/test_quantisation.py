from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from model.network_check import check_network
from tests.support.exports import KINDS, SIZE, SMALL, SmallExport, drawn_films, drawn_inputs, export_of, small_export
from training.datasets.inputs import Inputs
from training.errors import RecipeError
from training.graphs.explanation import explanation_bases
from training.graphs.graph import export_graph, graph_outputs, pack_graph
from training.graphs.parity import completeness
from training.graphs.quantisation import quantise
from training.graphs.served import CAM, EMBEDDING, FINDINGS, MARGIN, PROBABILITY, ServedNetwork
from training.networks.network import TriageNetwork
from training.recipe import NetworkRecipe

# What a trained network loses in int8 is measured in the export step; on random weights parity means nothing.


@pytest.fixture(scope="module")
def quantised() -> bytes:
    return eight_bits(small_export())


def eight_bits(export: SmallExport) -> bytes:
    network = export.network
    films = [drawn_inputs(8, first=first, with_age_sex=network.recipe.age_sex) for first in (0, 8)]
    return pack_graph(quantise(export.proto, films, stem=network.backbone.stem), half_precision_weights=True)


def convolutions_in_eight_bits(graph: onnx.GraphProto) -> dict[str, bool]:
    """Whether each convolution has a kernel of eight bits, by the kernel's name."""
    makers = {output: node.op_type for node in graph.node for output in node.output}
    kernels = [node.input[1] for node in graph.node if node.op_type == "Conv"]
    return {name.split(".float16")[0]: makers.get(name) == "DequantizeLinear" for name in kernels}


def test_the_residual_stages_are_in_eight_bits_and_nothing_else(quantised: bytes) -> None:
    graph = onnx.load_model_from_string(quantised).graph
    makers = {output: node for node in graph.node for output in node.output}
    convolutions = convolutions_in_eight_bits(graph)
    assert sum(convolutions.values()) == 19
    assert {name for name, is_small in convolutions.items() if not is_small} == {
        "network.backbone.conv1.weight",
        "embedding.edges",
    }
    head = [node for node in graph.node if node.op_type in ("Gemm", "MatMul")]
    assert head
    assert not any(makers[name].op_type == "DequantizeLinear" for node in head for name in node.input if name in makers)


@pytest.mark.parametrize(
    ("kind", "operator", "left_in_float"),
    [("small", "Relu", {"relu", "relu_16"}), ("mobile", "Clip", {"relu6", "relu6_26"})],
)
def test_between_two_convolutions_nothing_is_turned_to_float_and_back(
    kind: str, operator: str, left_in_float: set[str]
) -> None:
    """What only picks is gone into ranges; left are the first and the last."""
    graph = onnx.load_model_from_string(eight_bits(export_of(SMALL if kind == "small" else KINDS[kind]))).graph
    makers = {output: node for node in graph.node for output in node.output}
    picking = {name for name, node in makers.items() if node.op_type == operator}
    assert {name for name in picking if name.startswith("relu")} == left_in_float
    results = [makers[node.input[0]] for node in graph.node if node.op_type == "QuantizeLinear"]
    sums = [node for node in results if node.op_type == "Add"]
    assert len(sums) == {"small": 7, "mobile": 0}[kind]
    assert {makers[name].op_type for node in sums for name in node.input} <= {"DequantizeLinear"}


def test_head_and_map_see_the_last_sum_unrounded(quantised: bytes) -> None:
    graph = onnx.load_model_from_string(quantised).graph
    makers = {output: node for node in graph.node for output in node.output}
    pooled = [node for node in graph.node if node.op_type == "ReduceMean" and node.input[0] == "relu_16"]
    assert [makers[node.input[0]].op_type for node in pooled] == ["Relu"]


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


@pytest.mark.parametrize("kind", ["small", "convolutional", "mobile"])
def test_the_map_of_the_int8_graph_explains_the_int8_margin(kind: str) -> None:
    recipe = SMALL if kind == "small" else KINDS[kind]
    export, films = export_of(recipe), drawn_inputs(8, with_age_sex=True)
    assert films.age_sex is not None
    graph = eight_bits(export)
    assert sum(convolutions_in_eight_bits(onnx.load_model_from_string(graph).graph).values()) >= 2
    answers = graph_outputs(graph, [films], threads=1, names=(CAM, MARGIN))
    assert completeness(answers, explanation_bases(export.served.network, films.age_sex)) <= 1e-5


def test_a_network_of_one_convolution_has_nothing_to_put_into_eight_bits() -> None:
    recipe = NetworkRecipe(architecture="convolutional", filters=(2,), hidden=(), dropout=0.0)
    network = TriageNetwork(recipe, size=SIZE).eval()
    proto = export_graph(ServedNetwork(network, temperature=1.0).eval(), size=SIZE, opset=20)
    with pytest.raises(RecipeError, match="no convolution above its first"):
        quantise(proto, [drawn_inputs(2)], stem=network.backbone.stem)


def test_an_int8_film_is_answered_alike_in_any_batch(quantised: bytes) -> None:
    films, names = drawn_films(5), (PROBABILITY, FINDINGS, CAM, EMBEDDING)
    whole = graph_outputs(quantised, [Inputs(films=films)], threads=1, names=names)
    alone = [Inputs(films=films[row : row + 1]) for row in range(5)]
    single = graph_outputs(quantised, alone, threads=1, names=names)
    for name in names:
        np.testing.assert_allclose(single[name], whole[name], rtol=0, atol=2e-6)
