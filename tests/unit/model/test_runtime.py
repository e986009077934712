"""The runtime serves what the manifest promises, on the provider it names, from its own bytes alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper

from model.bundle import Bundle, GateArrays, read_bundle
from model.demographics import encode_age_sex, unknown_age_sex
from model.errors import BundleCorrupt, BundleIncompatible, InferenceError, ProviderUnavailable
from model.runtime import Engines, Provider, Scorer, provider_order
from tests.support.bundles import (
    CAM_GAIN,
    CAM_ZERO,
    brightness_network,
    explaining_network,
    write_explaining_bundle,
    write_tiny_bundle,
)
from tests.support.finding_bundles import (
    AGE_SEX,
    FINDINGS,
    any_of,
    finding_network,
    findings_of,
    write_finding_bundle,
)

CPU_BUILD = ["AzureExecutionProvider", "CPUExecutionProvider"]
OPENVINO_BUILD = ["OpenVINOExecutionProvider", "CPUExecutionProvider"]
GPU_BUILD = ["TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"]

PATIENTS = ((60.0, "F"), (30.0, "M"), (None, "M"), (None, None))


@pytest.fixture
def findings(tmp_path: Path) -> Bundle:
    return read_bundle(write_finding_bundle(tmp_path / "findings"))


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return read_bundle(write_tiny_bundle(tmp_path / "tiny"))


@pytest.fixture
def explaining(tmp_path: Path) -> Bundle:
    return read_bundle(write_explaining_bundle(tmp_path / "explaining"))


def changed(bundle: Bundle, *, network: bytes | None = None, **manifest: object) -> Bundle:
    """Return the bundle with another graph or manifest, as if both had been pinned so."""
    return Bundle(
        manifest=bundle.manifest.model_copy(update=manifest),
        digest=bundle.digest,
        network=network or bundle.network,
        golden_tensors=bundle.golden_tensors,
        golden_age_sex=bundle.golden_age_sex,
        gate=bundle.gate,
    )


def gray_films(*levels: int) -> np.ndarray:
    return np.stack([np.full((1, 64, 64), level, np.uint8) for level in levels])


def test_scores_come_in_the_order_of_the_films(bundle: Bundle) -> None:
    films = np.stack([np.full((1, 64, 64), level, dtype=np.uint8) for level in (0, 255, 51)])
    scores = Scorer(bundle).score(films)
    assert [score.probability for score in scores] == pytest.approx([0.0, 1.0, 0.2])
    assert all(score.findings == () for score in scores)


def test_findings_activation_and_embedding_come_with_the_score(explaining: Bundle) -> None:
    film = np.zeros((1, 64, 64), np.uint8)
    film[:, :16, 48:] = 255
    first, second = Scorer(explaining).score(np.stack([np.full_like(film, 51), film]))
    assert [(finding.label, finding.probability) for finding in first.findings] == [
        ("bright", pytest.approx(0.2)),
        ("dark", pytest.approx(0.8)),
    ]
    assert first.activation == pytest.approx(np.full((4, 4), CAM_GAIN * (0.2 - CAM_ZERO)), abs=1e-5)
    assert second.activation is not None
    assert second.activation.dtype == np.float32
    assert second.activation[0] == pytest.approx([-CAM_GAIN * CAM_ZERO] * 3 + [CAM_GAIN * (1 - CAM_ZERO)], abs=1e-5)
    assert second.embedding == pytest.approx([0, 0.25, 0, 0])


def test_every_film_is_scored_with_its_own_age_and_sex(findings: Bundle) -> None:
    levels = (51, 102, 153, 204)
    age_sex = np.stack([encode_age_sex(*patient) for patient in PATIENTS])
    scores = Scorer(findings).score(gray_films(*levels), age_sex)
    for score, level, patient in zip(scores, levels, PATIENTS, strict=True):
        expected = findings_of(level / 255, *patient)
        assert {one.label: one.probability for one in score.findings} == pytest.approx(expected, abs=1e-6)
        assert [one.label for one in score.findings] == list(FINDINGS), "in the order of the manifest"
        assert score.probability == pytest.approx(any_of(expected), abs=1e-6)


def test_without_age_and_sex_nothing_is_known_of_any_film(findings: Bundle) -> None:
    scorer, films = Scorer(findings), gray_films(51, 102)
    assert scorer.score(films) == scorer.score(films, unknown_age_sex(2))


@pytest.mark.parametrize(
    "age_sex",
    [unknown_age_sex(1), unknown_age_sex(3), np.full((2, 1), np.nan, np.float32), np.zeros((2, 2))],
    ids=["one row", "a row too many", "one column", "float64"],
)
def test_age_and_sex_that_do_not_belong_to_the_films_are_never_broadcast(findings: Bundle, age_sex: np.ndarray) -> None:
    with pytest.raises(InferenceError, match="age and sex of 2 films came as"):
        Scorer(findings).score(gray_films(51, 102), age_sex)


def test_a_network_that_takes_neither_is_not_given_age_and_sex_in_vain(bundle: Bundle) -> None:
    with pytest.raises(InferenceError, match="takes neither age nor sex"):
        Scorer(bundle).score(gray_films(51), unknown_age_sex(1))


@pytest.mark.parametrize(
    ("network", "name", "message"),
    [
        (brightness_network(), AGE_SEX, r"takes the inputs \['film'\], the manifest says \['age_sex', 'film'\]"),
        (finding_network(), None, r"takes the inputs \['age_sex', 'film'\], the manifest says \['film'\]"),
    ],
    ids=["the graph lacks it", "the manifest does not name it"],
)
def test_a_graph_that_takes_something_else_than_the_manifest_says_is_refused(
    findings: Bundle, network: bytes, name: str | None, message: str
) -> None:
    with pytest.raises(BundleIncompatible, match=message):
        Scorer(changed(findings, network=network, age_sex_input_name=name))


def test_golden_films_are_scored_again_with_their_own_age_and_sex(findings: Bundle) -> None:
    Scorer(findings).verify_golden()
    with pytest.raises(BundleCorrupt, match="golden input 0 of findings"):
        Scorer(replace(findings, golden_age_sex=unknown_age_sex(3))).verify_golden()


def test_a_bundle_without_them_has_neither_activation_nor_embedding(bundle: Bundle) -> None:
    (score,) = Scorer(bundle).score(np.zeros((1, 1, 64, 64), np.uint8))
    assert score.activation is None
    assert score.embedding is None


def test_an_activation_that_is_not_finite_does_not_touch_the_probability(explaining: Bundle) -> None:
    scorer = Scorer(changed(explaining, network=explaining_network(cam_gain=float("nan"))))
    scorer.verify_golden()
    (score,) = scorer.score(np.full((1, 1, 64, 64), 51, np.uint8))
    assert score.probability == pytest.approx(0.2)
    assert np.isnan(score.activation).all()


@pytest.mark.parametrize(
    ("section", "output", "shape"), [("explanation", "embedding", "any, any"), ("gate", "cam", "n, 4")]
)
def test_an_output_of_another_shape_than_the_manifest_says_is_refused(
    explaining: Bundle, section: str, output: str, shape: str
) -> None:
    facts = getattr(explaining.manifest, section).model_copy(update={"output_name": output})
    with pytest.raises(BundleIncompatible, match=shape):
        Scorer(changed(explaining, **{section: facts}))


def test_gate_statistics_of_another_size_than_the_embedding_are_refused(explaining: Bundle) -> None:
    arrays = GateArrays(mean=np.zeros(5), covariance=np.eye(5))
    with pytest.raises(BundleIncompatible, match="n, 5"):
        Scorer(replace(explaining, gate=arrays))


def test_findings_of_another_number_than_the_labels_are_refused(explaining: Bundle) -> None:
    with pytest.raises(BundleIncompatible, match="n, 3"):
        Scorer(changed(explaining, labels=("bright", "dark", "other")))


def test_gate_statistics_without_their_arrays_are_refused(explaining: Bundle) -> None:
    with pytest.raises(BundleIncompatible, match="without their arrays"):
        Scorer(replace(explaining, gate=None))


def test_a_quantised_graph_loads_as_it_is(bundle: Bundle) -> None:
    proto = onnx.load_model_from_string(bundle.network)
    proto.graph.initializer.append(helper.make_tensor("step", TensorProto.FLOAT, [], [1.0]))
    proto.graph.initializer.append(helper.make_tensor("origin", TensorProto.UINT8, [], [0]))
    cast = proto.graph.node[0]
    cast.output[0] = "exact"
    proto.graph.node.insert(1, helper.make_node("QuantizeLinear", ["exact", "step", "origin"], ["levels"]))
    proto.graph.node.insert(2, helper.make_node("DequantizeLinear", ["levels", "step", "origin"], ["pixels"]))
    # onnxruntime's quantiser imports its own domain even where it uses nothing of it.
    proto.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    Scorer(changed(bundle, network=bytes(proto.SerializeToString()))).verify_golden()


def test_the_golden_inputs_of_an_untouched_bundle_hold(bundle: Bundle) -> None:
    Scorer(bundle).verify_golden()


def test_a_golden_input_that_scores_otherwise_is_corruption(bundle: Bundle) -> None:
    expected = bundle.manifest.golden_probabilities
    scorer = Scorer(changed(bundle, golden_probabilities=(*expected[:2], expected[2] + 0.002)))
    with pytest.raises(BundleCorrupt, match="golden input 2 of tiny"):
        scorer.verify_golden()


def test_golden_inputs_are_scored_together_too(bundle: Bundle) -> None:
    proto = onnx.load_model_from_string(bundle.network)
    # A graph whose films look at their company: each probability is the mean of its batch.
    proto.graph.node[-1].output[0] = "own"
    proto.graph.node.append(helper.make_node("ReduceMean", ["own"], ["company"], keepdims=1))
    proto.graph.node.append(helper.make_node("Shape", ["own"], ["films"]))
    proto.graph.node.append(helper.make_node("Expand", ["company", "films"], ["probability"]))
    mixed = changed(bundle, network=bytes(proto.SerializeToString()))
    with pytest.raises(BundleCorrupt, match="golden input 0 of tiny"):
        Scorer(mixed).verify_golden()
    Scorer(mixed, engines=Engines(largest_batch=1)).verify_golden()


def test_a_golden_input_that_scores_nan_is_corruption(bundle: Bundle) -> None:
    with pytest.raises(BundleCorrupt, match="golden input 0"):
        Scorer(changed(bundle, network=brightness_network(gain=float("nan")))).verify_golden()


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
    assert provider_order(Provider.AUTO, OPENVINO_BUILD) == (Provider.CPU,), "another build is taken by its name alone"
    for named in (Provider.CUDA, Provider.TENSORRT):
        assert provider_order(named, GPU_BUILD) == (named,)
    for named in (Provider.CUDA, Provider.TENSORRT, Provider.OPENVINO):
        with pytest.raises(ProviderUnavailable, match="not in this onnxruntime"):
            provider_order(named, CPU_BUILD)
