"""Tiny bundles that load in milliseconds: the probability is the tensor's mean brightness, nothing learned."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from onnx import TensorProto, checker, helper

from model.bundle import Manifest, OperatingPoint, pack_golden, write_bundle
from model.phantom import chest_phantom
from model.preprocessing import PreprocessingSpec


def brightness_network(size: int = 64, *, gain: float = 1.0) -> bytes:
    """Graph whose probability is ``clip(gain * mean(film) / 255, 0, 1)``."""
    nodes = [
        helper.make_node("Cast", ["film"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["pixels", "axes"], ["mean"], keepdims=0),
        helper.make_node("Mul", ["mean", "gain"], ["scaled"]),
        helper.make_node("Clip", ["scaled", "zero", "one"], ["probability"]),
    ]
    constants = [
        helper.make_tensor("axes", TensorProto.INT64, [3], [1, 2, 3]),
        helper.make_tensor("gain", TensorProto.FLOAT, [], [gain / 255]),
        helper.make_tensor("zero", TensorProto.FLOAT, [], [0.0]),
        helper.make_tensor("one", TensorProto.FLOAT, [], [1.0]),
    ]
    graph = helper.make_graph(
        nodes,
        "brightness",
        [helper.make_tensor_value_info("film", TensorProto.UINT8, ["n", 1, size, size])],
        [helper.make_tensor_value_info("probability", TensorProto.FLOAT, ["n"])],
        constants,
    )
    network = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    checker.check_model(network)
    return bytes(network.SerializeToString())


def golden_tensors(size: int = 64, count: int = 3) -> np.ndarray:
    films = [chest_phantom(seed, rows=size, columns=size) for seed in range(count)]
    return np.stack([np.rint(film * 255).astype(np.uint8)[np.newaxis] for film in films])


def write_tiny_bundle(
    directory: Path,
    *,
    size: int = 64,
    threshold: float = 0.4,
    gain: float = 1.0,
    name: str = "tiny",
    network: bytes | None = None,
) -> Path:
    """Write a whole, valid bundle and return its directory."""
    tensors = golden_tensors(size)
    expected = tuple(float(np.clip(gain * tensor.mean() / 255, 0, 1)) for tensor in tensors)
    manifest = Manifest(
        schema_version=1,
        name=name,
        version="0.0.1",
        preprocessing=PreprocessingSpec(size=size),
        files={"model.onnx": "", "golden.npz": ""},
        opset=18,
        temperature=1.0,
        operating_points=(
            OperatingPoint(name="f3", threshold=threshold, evidence="none; a test bundle", positives=0, negatives=0),
            OperatingPoint(name="all", threshold=0.0, evidence="flags everything", positives=0, negatives=0),
        ),
        default_operating_point="f3",
        golden_probabilities=expected,
        training_data="none",
        licence="Apache-2.0",
        recipe_sha256="0" * 64,
        commit="0" * 40,
    )
    contents = {"model.onnx": network or brightness_network(size, gain=gain), "golden.npz": pack_golden(tensors)}
    write_bundle(directory, manifest, contents)
    return directory
