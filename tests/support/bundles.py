"""Tiny bundles that load in milliseconds: the probability is the tensor's mean brightness, nothing learned."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any, Final

import numpy as np
from onnx import NodeProto, TensorProto, checker, helper

from model.bundle import GateArrays, pack_gate, pack_golden, write_bundle
from model.demographics import AgeSex
from model.manifest import Certificate, Explanation, GateStatistics, Manifest, OperatingPoint
from model.phantom import chest_phantom
from model.preprocessing import PreprocessingSpec

# What an explaining bundle's graph answers, in closed form: brightness is the mean of pixels / 255.
CAM_CELLS: Final = 4  # cells a side; a cell is CAM_GAIN * (its brightness - CAM_ZERO)
CAM_GAIN: Final = 12.0
CAM_ZERO: Final = 0.5
LABELS: Final = ("bright", "dark")  # clip(brightness) and its complement
# The embedding is the brightness of the four quadrants; typical films lie around EMBEDDING_MEAN, white ones far away.
EMBEDDING_MEAN: Final = 0.45
EMBEDDING_VARIANCE: Final = 0.04
EMBEDDING_LIMIT: Final = 20.0


def brightness_network(size: int = 64, *, gain: float = 1.0) -> bytes:
    """Graph whose probability is ``clip(gain * mean(film) / 255, 0, 1)``."""
    return _network(size, _brightness_nodes(), _brightness_constants(gain), {"probability": ["n"]})


def explaining_network(size: int = 64, *, cam_gain: float = CAM_GAIN) -> bytes:
    """The brightness network with findings, class activation map and embedding; see the constants above."""
    nodes = [
        *_brightness_nodes(),
        helper.make_node("Sub", ["one", "probability"], ["complement"]),
        helper.make_node("Unsqueeze", ["probability", "last"], ["bright"]),
        helper.make_node("Unsqueeze", ["complement", "last"], ["dark"]),
        helper.make_node("Concat", ["bright", "dark"], ["findings"], axis=1),
        helper.make_node("Mul", ["pixels", "unit"], ["brightness"]),
        _pool("brightness", "cells", size // CAM_CELLS),
        helper.make_node("Squeeze", ["cells", "channel"], ["map"]),
        helper.make_node("Sub", ["map", "cam_zero"], ["centred"]),
        helper.make_node("Mul", ["centred", "cam_gain"], ["cam"]),
        _pool("brightness", "quadrants", size // 2),
        helper.make_node("Flatten", ["quadrants"], ["embedding"], axis=1),
    ]
    constants = [
        *_brightness_constants(1.0),
        helper.make_tensor("last", TensorProto.INT64, [1], [1]),
        helper.make_tensor("channel", TensorProto.INT64, [1], [1]),
        helper.make_tensor("unit", TensorProto.FLOAT, [], [1 / 255]),
        helper.make_tensor("cam_zero", TensorProto.FLOAT, [], [CAM_ZERO]),
        helper.make_tensor("cam_gain", TensorProto.FLOAT, [], [cam_gain]),
    ]
    outputs = {
        "probability": ["n"],
        "findings": ["n", 2],
        "cam": ["n", CAM_CELLS, CAM_CELLS],
        "embedding": ["n", 4],
    }
    return _network(size, nodes, constants, outputs)


def _brightness_nodes() -> list[NodeProto]:
    return [
        helper.make_node("Cast", ["film"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["pixels", "axes"], ["mean"], keepdims=0),
        helper.make_node("Mul", ["mean", "gain"], ["scaled"]),
        helper.make_node("Clip", ["scaled", "zero", "one"], ["probability"]),
    ]


def _brightness_constants(gain: float) -> list[TensorProto]:
    return [
        helper.make_tensor("axes", TensorProto.INT64, [3], [1, 2, 3]),
        helper.make_tensor("gain", TensorProto.FLOAT, [], [gain / 255]),
        helper.make_tensor("zero", TensorProto.FLOAT, [], [0.0]),
        helper.make_tensor("one", TensorProto.FLOAT, [], [1.0]),
    ]


def _pool(source: str, result: str, side: int) -> NodeProto:
    return helper.make_node("AveragePool", [source], [result], kernel_shape=[side, side], strides=[side, side])


def _network(
    size: int, nodes: list[NodeProto], constants: list[TensorProto], outputs: dict[str, list[str | int]]
) -> bytes:
    graph = helper.make_graph(
        nodes,
        "brightness",
        [helper.make_tensor_value_info("film", TensorProto.UINT8, ["n", 1, size, size])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in outputs.items()],
        constants,
    )
    network = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    checker.check_model(network)
    return bytes(network.SerializeToString())


def golden_tensors(size: int = 64, count: int = 3) -> np.ndarray:
    films = [chest_phantom(seed, rows=size, columns=size) for seed in range(count)]
    return np.stack([np.rint(film * 255).astype(np.uint8)[np.newaxis] for film in films])


_EVERYTHING_FLAGGED: Final = Certificate(
    positives=59, misses=0, miss_bound=0.0, alpha=0.05, delta=0.05, certified_on=date(2026, 1, 1)
)


def tiny_manifest(*, size: int = 64, threshold: float = 0.4, name: str = "tiny", **facts: Any) -> Manifest:
    """Return the manifest of a tiny bundle; ``facts`` replace and add to what it says."""
    said: dict[str, Any] = {
        "files": {"model.onnx": "", "golden.npz": ""},
        "temperature": 1.0,
        "golden_probabilities": (0.5,),
    }
    return Manifest(
        schema_version=1,
        name=name,
        version="0.0.1",
        preprocessing=PreprocessingSpec(size=size),
        opset=18,
        operating_points=(
            OperatingPoint(name="f3", threshold=threshold, evidence="none; a test bundle", positives=0, negatives=0),
            OperatingPoint(
                name="all",
                threshold=0.0,
                evidence="flags everything",
                certificate=_EVERYTHING_FLAGGED,
                positives=0,
                negatives=0,
            ),
        ),
        default_operating_point="f3",
        training_data="none",
        licence="Apache-2.0",
        recipe_sha256="0" * 64,
        commit="0" * 40,
        **(said | facts),
    )


def write_tiny_bundle(
    directory: Path,
    *,
    size: int = 64,
    threshold: float = 0.4,
    gain: float = 1.0,
    name: str = "tiny",
    network: bytes | None = None,
    more_files: dict[str, bytes] | None = None,
    golden_age_sex: AgeSex | None = None,
    **more_facts: Any,
) -> Path:
    """Write a whole, valid bundle and return its directory; ``more_facts`` go into its manifest."""
    tensors = golden_tensors(size)
    expected = tuple(float(np.clip(gain * tensor.mean() / 255, 0, 1)) for tensor in tensors)
    contents = {
        "model.onnx": network or brightness_network(size, gain=gain),
        "golden.npz": pack_golden(tensors, golden_age_sex),
    }
    manifest = tiny_manifest(
        size=size,
        threshold=threshold,
        name=name,
        files={"model.onnx": "", "golden.npz": ""} | dict.fromkeys(more_files or {}, ""),
        **({"golden_probabilities": expected} | more_facts),
    )
    write_bundle(directory, manifest, contents | (more_files or {}))
    return directory


def write_explaining_bundle(
    directory: Path, *, size: int = 64, threshold: float = 0.4, temperature: float = 2.0, cam_gain: float = CAM_GAIN
) -> Path:
    """Write a bundle with findings, heat map and out-of-distribution gate, and return its directory."""
    arrays = GateArrays(mean=np.full(4, EMBEDDING_MEAN), covariance=np.eye(4) * EMBEDDING_VARIANCE)
    return write_tiny_bundle(
        directory,
        size=size,
        threshold=threshold,
        name="explaining",
        network=explaining_network(size, cam_gain=cam_gain),
        more_files={"gate.npz": pack_gate(arrays)},
        temperature=temperature,
        labels=LABELS,
        findings_output_name="findings",
        explanation=Explanation(output_name="cam", base=0.0),
        gate=GateStatistics(output_name="embedding", limit=EMBEDDING_LIMIT, percentile=99.5, films=100),
    )
