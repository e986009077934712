"""A ResNet50 v1.5 with random weights, as a bundle: the work of the usual network, nothing learned.

Behind every figure that must not depend on what a network knows: model limits, peers, scaling. The architecture is that
of He et al., "Deep Residual Learning for Image Recognition" (2015), with the stride in the 3x3 convolution (v1.5, as
NVIDIA's and MLPerf's), BatchNorm folded away, one gray channel into the first convolution (2 % less work than three),
and one sigmoid in place of 1000 classes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import count
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, checker, helper, load_model_from_string, numpy_helper

from tests.support.bundles import golden_tensors, write_tiny_bundle
from training.datasets.inputs import Inputs
from training.graphs.quantisation import quantise

Precision: TypeAlias = Literal["fp32", "int8"]

_BLOCKS: Final = (3, 4, 6, 3)
_STEM_CHANNELS: Final = 64
_EXPANSION: Final = 4
_SEED: Final = 50
# Each block adds this share of what came in, so that sixteen of them keep numbers where float16 and bfloat16 are exact
# enough to be compared.
_RESIDUAL_GAIN: Final = 0.3
_OPSET: Final = 18
_CALIBRATION_FILMS: Final = 8
# Names that training's quantiser knows a backbone's kernels by.
_BACKBONE: Final = "network.backbone."
_STEM: Final = "0.weight"
# Of golden inputs; what training gives int8 bundles. Runtimes round differently.
_TOLERANCE: Final[Mapping[Precision, float]] = {"fp32": 0.001, "int8": 0.005}
# onnxruntime's own word on graphs written by another tool than its own; nothing that a reader of figures needs.
_ORT_ERRORS_ONLY: Final = 3


class _Graph:
    """Collects nodes and weights. Weights are float16 and cast, as bundles have them; runtimes fold that."""

    def __init__(self) -> None:
        self.nodes: list[NodeProto] = []
        self.weights: list[TensorProto] = []
        self._chance = np.random.default_rng(_SEED)
        self._numbers: Iterator[int] = count()
        self._kernels: Iterator[int] = count()

    def add(self, operator: str, inputs: list[str], *, result: str | None = None, **attributes: Any) -> str:
        result = result or f"{operator.lower()}_{next(self._numbers)}"
        self.nodes.append(helper.make_node(operator, inputs, [result], name=result, **attributes))
        return result

    def constant(self, values: NDArray[Any]) -> str:
        name = f"constant_{next(self._numbers)}"
        self.weights.append(numpy_helper.from_array(values, name))
        return name

    def convolution(self, source: str, channels: tuple[int, int], kernel: int, *, stride: int = 1, gain: float) -> str:
        """Add a convolution of ``channels`` (in, out) with a bias; variance becomes ``gain``² of what it was."""
        taken, given = channels
        deviation = gain * np.sqrt(2.0 / (taken * kernel * kernel))
        drawn = self._chance.standard_normal((given, taken, kernel, kernel), dtype=np.float32) * deviation
        name = f"{_BACKBONE}{next(self._kernels)}.weight"
        weight = self.add("Cast", [self.constant(drawn.astype(np.float16))], result=name, to=TensorProto.FLOAT)
        bias = self.constant(np.zeros(given, dtype=np.float32))
        inputs, sides = [source, weight, bias], [kernel // 2] * 4
        return self.add("Conv", inputs, kernel_shape=[kernel, kernel], strides=[stride, stride], pads=sides)

    def block(self, source: str, taken: int, width: int, *, stride: int) -> str:
        """Add a bottleneck: 1x1, 3x3 with the stride, 1x1, and what came in beside it."""
        given = width * _EXPANSION
        inner = self.add("Relu", [self.convolution(source, (taken, width), 1, gain=1.0)])
        inner = self.add("Relu", [self.convolution(inner, (width, width), 3, stride=stride, gain=1.0)])
        inner = self.convolution(inner, (width, given), 1, gain=_RESIDUAL_GAIN)
        beside = source
        if taken != given or stride != 1:
            beside = self.convolution(source, (taken, given), 1, stride=stride, gain=1.0)
        return self.add("Relu", [self.add("Add", [inner, beside])])


def resnet50_network(size: int) -> bytes:
    """Return the network as ONNX: uint8 ``(n, 1, size, size)`` to ``probability`` float32 ``(n,)``; 47 MB."""
    graph = _Graph()
    pixels = graph.add("Cast", ["film"], to=TensorProto.FLOAT)
    pixels = graph.add("Sub", [pixels, graph.constant(np.array(127.5, dtype=np.float32))])
    pixels = graph.add("Mul", [pixels, graph.constant(np.array(1 / 64, dtype=np.float32))])
    features = graph.add("Relu", [graph.convolution(pixels, (1, _STEM_CHANNELS), 7, stride=2, gain=1.0)])
    features = graph.add("MaxPool", [features], kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    channels = _STEM_CHANNELS
    for stage, blocks in enumerate(_BLOCKS):
        width = _STEM_CHANNELS * 2**stage
        for block in range(blocks):
            features = graph.block(features, channels, width, stride=2 if stage and not block else 1)
            channels = width * _EXPANSION
    pooled = graph.add("Flatten", [graph.add("GlobalAveragePool", [features])])
    logits = graph.add("MatMul", [pooled, graph.constant(_readout(channels))])
    flat = graph.add("Reshape", [logits, graph.constant(np.array([-1], dtype=np.int64))])
    graph.nodes.append(helper.make_node("Sigmoid", [flat], ["probability"], name="probability"))
    return bytes(_model(graph, size).SerializeToString())


def _readout(channels: int) -> NDArray[np.float32]:
    """Return the last layer's weights; their mean is 0, so that the sigmoid is not saturated."""
    drawn = np.random.default_rng(_SEED + 1).standard_normal((channels, 1), dtype=np.float32)
    return np.asarray((drawn - drawn.mean()) / np.sqrt(channels), dtype=np.float32)


def _model(graph: _Graph, size: int) -> ModelProto:
    proto = helper.make_graph(
        graph.nodes,
        "resnet50",
        [helper.make_tensor_value_info("film", TensorProto.UINT8, ["n", 1, size, size])],
        [helper.make_tensor_value_info("probability", TensorProto.FLOAT, ["n"])],
        graph.weights,
    )
    model = helper.make_model(proto, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=9)
    checker.check_model(model)
    return model


def resnet50_bundle(directory: Path, size: int = 224, precision: Precision = "fp32") -> Path:
    """Return the bundle of this size and precision below ``directory``, written where it is not there yet."""
    place = directory / (f"resnet50-{size}" if precision == "fp32" else f"resnet50-{size}-{precision}")
    if not place.exists():
        network = resnet50_network(size)
        if precision == "int8":
            network = _quantised(network, size)
        _write(place, network, size, precision)
    return place


def _quantised(network: bytes, size: int) -> bytes:
    """Return the same network in int8, as training exports it.

    Ranges come from drawings, and random weights decide nothing: good for speed, worthless for accuracy.
    """
    films = golden_tensors(size, _CALIBRATION_FILMS)
    batches = [Inputs(films=film[np.newaxis]) for film in films]
    return bytes(quantise(load_model_from_string(network), batches, stem=_STEM).SerializeToString())


def _write(place: Path, network: bytes, size: int, precision: Precision) -> None:
    options = ort.SessionOptions()
    options.log_severity_level = _ORT_ERRORS_ONLY
    session = ort.InferenceSession(network, options, providers=["CPUExecutionProvider"])
    expected = tuple(float(value) for value in session.run(["probability"], {"film": golden_tensors(size)})[0])
    write_tiny_bundle(
        place,
        size=size,
        threshold=0.5,
        name=place.name,
        network=network,
        golden_probabilities=expected,
        precision=precision,
        golden_tolerance=_TOLERANCE[precision],
    )
