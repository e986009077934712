"""A multi-label bundle that takes age and sex: each finding shows, in closed form, one of the things it was told.

Its heat map is the film's own brightness.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
from onnx import NodeProto, TensorProto, checker, helper

from model.demographics import AgeSex, encode_age_sex
from model.manifest import Explanation
from tests.support.bundles import CAM_CELLS, golden_tensors, write_tiny_bundle

# In the order of the manifest, which is that of no figure: bright is half the brightness; old is half of age / 100, or
# of NEUTRAL where it is unknown; male a quarter of 1 for M, 0 for F, NEUTRAL where unknown.
FINDINGS: Final = ("male", "bright", "old")
NEUTRAL: Final = 0.5
AGE_SEX: Final = "age_sex"
_SHARES: Final = {"male": 0.25, "bright": 0.5, "old": 0.5}


def findings_of(brightness: float, age_years: float | None, sex: str | None) -> dict[str, float]:
    """Return what the network answers for a film of this brightness (mean of its tensor / 255)."""
    age, is_male = (NEUTRAL if np.isnan(value) else float(value) for value in encode_age_sex(age_years, sex))
    told = {"male": is_male, "bright": brightness, "old": age}
    return {label: _SHARES[label] * told[label] for label in FINDINGS}


def any_of(findings: dict[str, float]) -> float:
    """Return the probability that follows from findings."""
    return 1 - float(np.prod([1 - probability for probability in findings.values()]))


def finding_network(size: int = 64) -> bytes:
    """Graph of the constants above, which takes age and sex as float32 ``(n, 2)``."""
    graph = helper.make_graph(
        _nodes(cell=size // CAM_CELLS),
        "findings",
        [
            helper.make_tensor_value_info("film", TensorProto.UINT8, ["n", 1, size, size]),
            helper.make_tensor_value_info(AGE_SEX, TensorProto.FLOAT, ["n", 2]),
        ],
        [
            helper.make_tensor_value_info("probability", TensorProto.FLOAT, ["n"]),
            helper.make_tensor_value_info("findings", TensorProto.FLOAT, ["n", len(FINDINGS)]),
            helper.make_tensor_value_info("cam", TensorProto.FLOAT, ["n", CAM_CELLS, CAM_CELLS]),
        ],
        [
            helper.make_tensor("axes", TensorProto.INT64, [3], [1, 2, 3]),
            helper.make_tensor("last", TensorProto.INT64, [1], [1]),
            helper.make_tensor("unit", TensorProto.FLOAT, [], [1 / 255]),
            helper.make_tensor("one", TensorProto.FLOAT, [], [1.0]),
            helper.make_tensor("neutral", TensorProto.FLOAT, [], [NEUTRAL]),
            helper.make_tensor("columns", TensorProto.INT64, [2], [1, 1]),
            helper.make_tensor("shares", TensorProto.FLOAT, [3], [_SHARES[label] for label in FINDINGS]),
        ],
    )
    network = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    checker.check_model(network)
    return bytes(network.SerializeToString())


def _nodes(*, cell: int) -> list[NodeProto]:
    return [
        helper.make_node("Cast", ["film"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["pixels", "axes"], ["mean"], keepdims=0),
        helper.make_node("Mul", ["mean", "unit"], ["brightness"]),
        helper.make_node("Unsqueeze", ["brightness", "last"], ["bright"]),
        helper.make_node("IsNaN", [AGE_SEX], ["is_unknown"]),
        helper.make_node("Where", ["is_unknown", "neutral", AGE_SEX], ["known"]),
        helper.make_node("Split", ["known", "columns"], ["old", "male"], axis=1),
        helper.make_node("Concat", ["male", "bright", "old"], ["told"], axis=1),
        helper.make_node("Mul", ["told", "shares"], ["findings"]),
        helper.make_node("Sub", ["one", "findings"], ["absent"]),
        helper.make_node("ReduceProd", ["absent", "last"], ["none"], keepdims=0),
        helper.make_node("Sub", ["one", "none"], ["probability"]),
        helper.make_node("AveragePool", ["pixels"], ["cells"], kernel_shape=[cell, cell], strides=[cell, cell]),
        helper.make_node("Squeeze", ["cells", "last"], ["levels"]),
        helper.make_node("Mul", ["levels", "unit"], ["cam"]),
    ]


def golden_age_sex() -> AgeSex:
    """Return age and sex of the three golden films: known, half known, unknown."""
    return np.stack([encode_age_sex(60, "F"), encode_age_sex(30, None), encode_age_sex(None, None)])


def golden_probabilities(size: int = 64) -> tuple[float, ...]:
    told = ((60.0, "F"), (30.0, None), (None, None))
    brightness = [float(tensor.mean()) / 255 for tensor in golden_tensors(size)]
    return tuple(any_of(findings_of(level, *who)) for level, who in zip(brightness, told, strict=True))


def write_finding_bundle(directory: Path, *, size: int = 64, threshold: float = 0.5) -> Path:
    """Write a bundle of findings that takes age and sex, and return its directory."""
    return write_tiny_bundle(
        directory,
        size=size,
        threshold=threshold,
        name="findings",
        network=finding_network(size),
        golden_age_sex=golden_age_sex(),
        golden_probabilities=golden_probabilities(size),
        labels=FINDINGS,
        findings_output_name="findings",
        age_sex_input_name=AGE_SEX,
        probability_rule="any_of_findings",
        explanation=Explanation(output_name="cam", base=0.0),
    )
