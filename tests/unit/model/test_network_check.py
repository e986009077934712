"""A graph is whole and made of ONNX's own operators, or no runtime gets to see it; wherever the rest may hide."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import onnx
import onnxruntime as ort
import pytest
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, helper

from model.bundle import read_bundle
from model.errors import BundleIncompatible
from model.network_check import check_network
from model.runtime import Scorer
from tests.support.bundles import brightness_network, explaining_network, write_tiny_bundle
from tests.support.finding_bundles import finding_network

# A field of number 99 is nobody's.
_UNKNOWN_FIELD = b"\x9a\x06\x03abc"
# Numbers of onnx.proto's fields.
MODEL_GRAPH, GRAPH_NODE, NODE_ATTRIBUTE, ATTRIBUTE_GRAPH = 7, 1, 5, 6


def wire(field: int, content: bytes) -> bytes:
    """Return a message's field as protobuf writes it: tag, length, content."""
    length, size = b"", len(content)
    while size > 127:
        length, size = length + bytes([size & 127 | 128]), size >> 7
    return bytes([field << 3 | 2]) + length + bytes([size]) + content


def outside(kind: int = TensorProto.FLOAT) -> TensorProto:
    tensor = helper.make_tensor("outside", kind, [1], [0])
    for content in ("float_data", "int64_data"):
        tensor.ClearField(content)
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../etc/passwd")
    return tensor


def sparse(values: TensorProto, indices: TensorProto) -> onnx.SparseTensorProto:
    return onnx.SparseTensorProto(values=values, indices=indices, dims=[1])


def plain(kind: int = TensorProto.FLOAT) -> TensorProto:
    return helper.make_tensor("plain", kind, [1], [0])


def branch(inner: GraphProto) -> NodeProto:
    return helper.make_node("If", ["mean"], ["out"], then_branch=inner, else_branch=inner)


def graph_of(*nodes: NodeProto, tensors: tuple[TensorProto, ...] = ()) -> GraphProto:
    return helper.make_graph(list(nodes), "inner", [], [], list(tensors))


def held(attribute: AttributeProto) -> NodeProto:
    node = helper.make_node("Constant", [], ["out"])
    node.attribute.append(attribute)
    return node


def function_with(node: NodeProto) -> onnx.FunctionProto:
    return helper.make_function("", "Mine", ["x"], ["x"], [node], [helper.make_opsetid("", 18)])


def add_training(proto: ModelProto) -> None:
    proto.training_info.add().algorithm.initializer.append(outside())


def add_location_alone(proto: ModelProto) -> None:
    tensor = plain()
    tensor.external_data.add(key="location", value="*/_ORT_MEM_ADDR_/*")
    proto.graph.initializer.append(tensor)


EXTERNAL: dict[str, Callable[[ModelProto], object]] = {
    "initializer": lambda proto: proto.graph.initializer.append(outside()),
    "sparse initializer's values": lambda proto: proto.graph.sparse_initializer.append(
        sparse(outside(), plain(TensorProto.INT64))
    ),
    "sparse initializer's indices": lambda proto: proto.graph.sparse_initializer.append(
        sparse(plain(), outside(TensorProto.INT64))
    ),
    "attribute": lambda proto: proto.graph.node.append(helper.make_node("Constant", [], ["out"], value=outside())),
    "list of tensors": lambda proto: proto.graph.node.append(
        held(AttributeProto(name="values", type=AttributeProto.TENSORS, tensors=[plain(), outside()]))
    ),
    "sparse attribute": lambda proto: proto.graph.node.append(
        held(
            AttributeProto(
                name="sparse_value",
                type=AttributeProto.SPARSE_TENSOR,
                sparse_tensor=sparse(plain(), outside(TensorProto.INT64)),
            )
        )
    ),
    "attribute that says it is another type": lambda proto: proto.graph.node.append(
        held(AttributeProto(name="value", type=AttributeProto.INT, i=1, t=outside()))
    ),
    "branch": lambda proto: proto.graph.node.append(branch(graph_of(tensors=(outside(),)))),
    "branch of a branch": lambda proto: proto.graph.node.append(
        branch(graph_of(branch(graph_of(tensors=(outside(),)))))
    ),
    "list of graphs": lambda proto: proto.graph.node.append(
        held(AttributeProto(name="graphs", type=AttributeProto.GRAPHS, graphs=[graph_of(tensors=(outside(),))]))
    ),
    "function": lambda proto: proto.functions.append(
        function_with(helper.make_node("Constant", [], ["x"], value=outside()))
    ),
    "training": add_training,
    "location without its mark": add_location_alone,
}

FOREIGN: dict[str, Callable[[ModelProto], object]] = {
    "operator": lambda proto: proto.graph.node.append(
        helper.make_node("Shell", ["mean"], ["out"], domain="org.example")
    ),
    "onnxruntime's own": lambda proto: proto.graph.node.append(
        helper.make_node("EPContext", ["mean"], ["out"], domain="com.microsoft", ep_cache_context="../elsewhere")
    ),
    "branch": lambda proto: proto.graph.node.append(
        branch(graph_of(helper.make_node("Shell", ["mean"], ["out"], domain="org.example")))
    ),
    "function": lambda proto: proto.functions.append(function_with(helper.make_node("Identity", ["x"], ["y"]))),
    "function of another domain": lambda proto: proto.functions.append(
        function_with(helper.make_node("Shell", ["x"], ["y"], domain="org.example"))
    ),
}


def changed(change: Callable[[ModelProto], object]) -> bytes:
    proto = onnx.load_model_from_string(brightness_network())
    change(proto)
    return bytes(proto.SerializeToString())


@pytest.mark.parametrize("network", [brightness_network, explaining_network, finding_network])
def test_an_honest_graph_passes(network: Callable[[], bytes]) -> None:
    check_network(network())


@pytest.mark.parametrize("place", EXTERNAL)
def test_external_data_is_refused_wherever_it_hides(place: str) -> None:
    with pytest.raises(BundleIncompatible, match="external data"):
        check_network(changed(EXTERNAL[place]))


@pytest.mark.parametrize("place", FOREIGN)
def test_operators_and_functions_that_are_not_onnx_own_are_refused(place: str) -> None:
    with pytest.raises(BundleIncompatible, match="custom operators or functions"):
        check_network(changed(FOREIGN[place]))


def test_graphs_for_training_are_refused() -> None:
    with pytest.raises(BundleIncompatible, match="for training"):
        check_network(changed(lambda proto: proto.training_info.add()))


def test_what_this_parser_would_skip_is_refused_because_another_may_read_it() -> None:
    with pytest.raises(BundleIncompatible, match="does not know"):
        check_network(brightness_network() + _UNKNOWN_FIELD)
    node = NodeProto.FromString(helper.make_node("Identity", ["mean"], ["out"]).SerializeToString() + _UNKNOWN_FIELD)
    with pytest.raises(BundleIncompatible, match="does not know"):
        check_network(changed(lambda proto: proto.graph.node.append(node)))


def test_onnxruntimes_own_format_is_refused(tmp_path: Path) -> None:
    options = ort.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "model.ort")
    options.add_session_config_entry("session.save_model_format", "ORT")
    ort.InferenceSession(brightness_network(), options, providers=["CPUExecutionProvider"])
    with pytest.raises(BundleIncompatible, match="not an ONNX graph"):
        check_network((tmp_path / "model.ort").read_bytes())


def test_graphs_nested_without_end_are_an_error_and_not_the_end_of_the_process() -> None:
    inner = b""
    for _ in range(10_000):  # as bytes, because the library does not even build such graphs
        inner = wire(GRAPH_NODE, wire(NODE_ATTRIBUTE, wire(ATTRIBUTE_GRAPH, inner)))
    with pytest.raises(BundleIncompatible, match="not an ONNX graph"):
        check_network(wire(MODEL_GRAPH, inner))


def test_bytes_that_are_no_graph_are_refused() -> None:
    with pytest.raises(BundleIncompatible, match="not an ONNX graph"):
        check_network(b"\xff\xff\xff\xff")


def test_a_scorer_asks_before_the_runtime_does(tmp_path: Path) -> None:
    bundle = write_tiny_bundle(tmp_path / "outside", network=changed(EXTERNAL["initializer"]))
    with pytest.raises(BundleIncompatible, match="external data"):
        Scorer(read_bundle(bundle))
