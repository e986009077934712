"""The runtime serves what the manifest promises, on the provider it names, from its own bytes alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper

from model.bundle import Bundle, read_bundle
from model.errors import BundleCorrupt, BundleIncompatible, InferenceError, ProviderUnavailable
from model.runtime import Provider, Scorer, check_network, provider_order
from tests.support.bundles import brightness_network, write_tiny_bundle

CPU_BUILD = ["AzureExecutionProvider", "CPUExecutionProvider"]
GPU_BUILD = ["TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"]


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return read_bundle(write_tiny_bundle(tmp_path / "tiny"))


def changed(bundle: Bundle, *, network: bytes | None = None, **manifest: object) -> Bundle:
    """Return the bundle with another graph or manifest, as if both had been pinned so."""
    return Bundle(
        manifest=bundle.manifest.model_copy(update=manifest),
        digest=bundle.digest,
        network=network or bundle.network,
        golden_tensors=bundle.golden_tensors,
    )


def with_graph(change: str) -> bytes:
    """Return the brightness network with one thing in it that a served graph must not have."""
    proto = onnx.load_model_from_string(brightness_network())
    outside = helper.make_tensor("outside", TensorProto.FLOAT, [1], [0.0])
    outside.ClearField("float_data")
    outside.data_location = TensorProto.EXTERNAL
    outside.external_data.add(key="location", value="../../etc/passwd")
    if change == "initializer":
        proto.graph.initializer.append(outside)
    elif change == "attribute":
        proto.graph.node.append(helper.make_node("Constant", [], ["outside"], value=outside))
    elif change == "branch":
        inner = helper.make_graph([], "inner", [], [], [outside])
        proto.graph.node.append(helper.make_node("If", ["mean"], ["out"], then_branch=inner, else_branch=inner))
    elif change == "operator":
        proto.graph.node.append(helper.make_node("Shell", ["mean"], ["out"], domain="org.example"))
    elif change == "branch operator":
        node = helper.make_node("Shell", ["mean"], ["out"], domain="org.example")
        inner = helper.make_graph([node], "inner", [], [])
        proto.graph.node.append(helper.make_node("If", ["mean"], ["out"], then_branch=inner, else_branch=inner))
    elif change == "function":
        proto.functions.append(helper.make_function("", "Mine", ["x"], ["x"], [], [helper.make_opsetid("", 18)]))
    return bytes(proto.SerializeToString())


def test_scores_come_in_the_order_of_the_films(bundle: Bundle) -> None:
    films = np.stack([np.full((1, 64, 64), level, dtype=np.uint8) for level in (0, 255, 51)])
    scores = Scorer(bundle).score(films)
    assert [score.probability for score in scores] == pytest.approx([0.0, 1.0, 0.2])
    assert all(score.findings == () for score in scores)


def test_the_golden_inputs_of_an_untouched_bundle_hold(bundle: Bundle) -> None:
    Scorer(bundle).verify_golden()


def test_a_golden_input_that_scores_otherwise_is_corruption(bundle: Bundle) -> None:
    expected = bundle.manifest.golden_probabilities
    scorer = Scorer(changed(bundle, golden_probabilities=(*expected[:2], expected[2] + 0.002)))
    with pytest.raises(BundleCorrupt, match="golden input 2 of tiny"):
        scorer.verify_golden()


def test_a_golden_input_that_scores_nan_is_corruption(bundle: Bundle) -> None:
    with pytest.raises(BundleCorrupt, match="golden input 0"):
        Scorer(changed(bundle, network=brightness_network(gain=float("nan")))).verify_golden()


@pytest.mark.parametrize("place", ["initializer", "attribute", "branch"])
def test_external_data_is_refused_wherever_it_hides(place: str) -> None:
    with pytest.raises(BundleIncompatible, match="external data"):
        check_network(with_graph(place))


@pytest.mark.parametrize("place", ["operator", "branch operator", "function"])
def test_custom_operators_and_functions_are_refused(place: str) -> None:
    with pytest.raises(BundleIncompatible, match="custom operators or functions"):
        check_network(with_graph(place))


def test_bytes_that_are_no_graph_are_refused() -> None:
    with pytest.raises(BundleIncompatible, match="not an ONNX graph"):
        check_network(b"\xff\xff\xff\xff")


def test_a_graph_that_onnxruntime_cannot_load_is_refused(bundle: Bundle) -> None:
    proto = onnx.load_model_from_string(bundle.network)
    proto.graph.node[1].input[0] = "nowhere"
    with pytest.raises(BundleIncompatible, match="cannot load tiny"):
        Scorer(changed(bundle, network=bytes(proto.SerializeToString())))


def test_a_graph_of_another_size_is_refused(bundle: Bundle) -> None:
    with pytest.raises(BundleIncompatible, match="the manifest says"):
        Scorer(changed(bundle, network=brightness_network(size=32)))


@pytest.mark.parametrize("name", ["input_name", "output_name"])
def test_a_manifest_that_names_other_tensors_is_refused(bundle: Bundle, name: str) -> None:
    with pytest.raises(BundleIncompatible):
        Scorer(changed(bundle, **{name: "absent"}))


def test_a_batch_of_the_wrong_shape_is_an_inference_error(bundle: Bundle) -> None:
    with pytest.raises(InferenceError):
        Scorer(bundle).score(np.zeros((1, 1, 32, 32), dtype=np.uint8))


def test_auto_says_where_it_runs(bundle: Bundle) -> None:
    assert Scorer(bundle, provider=Provider.AUTO).provider in (Provider.CPU, Provider.CUDA)
    assert Scorer(bundle, provider=Provider.CPU).provider is Provider.CPU


@pytest.mark.skipif(
    "CUDAExecutionProvider" in ort.get_available_providers(), reason="this onnxruntime was built with CUDA"
)
def test_a_named_provider_that_is_unavailable_is_an_error(bundle: Bundle) -> None:
    with pytest.raises(ProviderUnavailable, match="choose provider 'auto'"):
        Scorer(bundle, provider=Provider.CUDA)


def test_auto_tries_cuda_before_the_cpu_and_names_never_fall_back() -> None:
    assert provider_order(Provider.AUTO, GPU_BUILD) == (Provider.CUDA, Provider.CPU)
    assert provider_order(Provider.AUTO, CPU_BUILD) == (Provider.CPU,)
    assert provider_order(Provider.CUDA, GPU_BUILD) == (Provider.CUDA,)
    with pytest.raises(ProviderUnavailable, match="not in this onnxruntime"):
        provider_order(Provider.CUDA, CPU_BUILD)
