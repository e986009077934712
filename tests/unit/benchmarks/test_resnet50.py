"""The generated network has the work of a ResNet50, and its numbers stay where precisions can be compared."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from benchmarks.resnet50 import resnet50_bundle, resnet50_network
from model.bundle import read_bundle
from model.runtime import Provider, Scorer

_SIZE = 64


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("bundles")


def test_network_is_a_resnet50() -> None:
    graph = onnx.load_model_from_string(resnet50_network(224)).graph
    convolutions = [node for node in graph.node if node.op_type == "Conv"]
    weights = sum(numpy_helper.to_array(weight).size for weight in graph.initializer)
    assert len(convolutions) == 53
    # Without the 1000 classes of ImageNet; biases stand for BatchNorm.
    assert weights == pytest.approx(23.53e6, rel=0.01)


def test_bundle_is_served_and_answers_differently_to_different_films(bundles: Path) -> None:
    scorer = Scorer(read_bundle(resnet50_bundle(bundles, _SIZE)), provider=Provider.CPU, threads=1)
    scorer.verify_golden()
    films = np.random.default_rng(0).integers(0, 256, (4, 1, _SIZE, _SIZE), dtype=np.uint8)
    probabilities = [score.probability for score in scorer.score(films)]
    assert all(0.01 < probability < 0.99 for probability in probabilities)
    assert len(set(probabilities)) == 4


def test_bundle_is_made_once(bundles: Path) -> None:
    first = resnet50_bundle(bundles, _SIZE)
    written = (first / "manifest.json").stat().st_mtime_ns
    assert resnet50_bundle(bundles, _SIZE) == first
    assert (first / "manifest.json").stat().st_mtime_ns == written


def test_int8_bundle_says_what_it_is_and_is_quantised(bundles: Path) -> None:
    bundle = read_bundle(resnet50_bundle(bundles, _SIZE, "int8"))
    assert bundle.manifest.precision == "int8"
    operators = [node.op_type for node in onnx.load_model_from_string(bundle.network).graph.node]
    assert {"QuantizeLinear", "DequantizeLinear"} <= set(operators)
    assert operators.count("Relu") == 2, "any but the first and the last is computed in float, between two conversions"
    Scorer(bundle, provider=Provider.CPU, threads=1).verify_golden()
