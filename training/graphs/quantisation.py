"""The int8 variant of a graph: convolutions in eight bits, everything that explains and decides in float32.

Activations u8, weights s8 per channel, as QuantizeLinear/DequantizeLinear pairs that any runtime reads. The stem stays
float32: it sees the film's own gray levels, and is a small part of the work (ML.md §C). Head, class activation map and
embedding stay float32 too, so that the map explains the int8 margin as exactly as the float32 one.

What lies between two convolutions is in eight bits as well. Left in float32, each layer is turned to float and back,
and what goes into a Relu gets a range of its own, half of which the Relu then throws away: both slower and less exact
(docs/training.md, "int8").
"""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

import onnx
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from training.datasets.inputs import Inputs
from training.errors import RecipeError
from training.graphs.served import feed

_CONVOLUTION = "Conv"
# They pick or add what is there, so that a range of 256 steps serves them as well as the convolution that follows.
_BETWEEN = frozenset({"Relu", "Clip", "MaxPool", "Add"})
# Not what the embedding convolves.
_BACKBONE = "network.backbone."


def quantise(proto: onnx.ModelProto, batches: Iterable[Inputs], *, stem: str) -> onnx.ModelProto:
    """Return the graph with all convolutions of the backbone in int8 but that with the kernel ``stem``.

    So are the activations, poolings and sums that lead into them. Ranges are the smallest and largest activations over
    ``batches`` of training films. Files are written below the machine's folder for temporary ones and removed again.

    Raises
    ------
    RecipeError
        If the backbone has no other convolution.
    """
    with tempfile.TemporaryDirectory(prefix="cxr-int8-") as folder:
        plain, ready, written = (Path(folder) / name for name in ("plain.onnx", "ready.onnx", "int8.onnx"))
        onnx.save_model(proto, plain)
        quant_pre_process(plain, ready, skip_symbolic_shape=True)
        prepared = onnx.load_model(ready)
        convolutions = _convolutions(prepared, stem)
        quantize_static(
            ready,
            written,
            _CalibrationFilms(batches, {node.name for node in proto.graph.input}),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=[_CONVOLUTION, *sorted(_BETWEEN)],
            per_channel=True,
            # Seven bits of weight: two products then fit into the 16 bits that CPUs without VNNI add them in, so that
            # those do not saturate and answer otherwise (onnxruntime, "Quantize ONNX models", on U8S8).
            reduce_range=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            nodes_to_quantize=[node.name for node in (*convolutions, *_leading_into(convolutions, prepared))],
            calibrate_method=CalibrationMethod.MinMax,
        )
        return onnx.load_model(written)


def _convolutions(proto: onnx.ModelProto, stem: str) -> list[onnx.NodeProto]:
    found = [node for node in proto.graph.node if node.op_type == _CONVOLUTION]
    chosen = [node for node in found if node.input[1].startswith(_BACKBONE) and node.input[1] != f"{_BACKBONE}{stem}"]
    # Given no names, onnxruntime would quantise everything.
    if not chosen:
        raise RecipeError("export.variants asks for int8, but the network has no convolution above its first")
    return chosen


def _leading_into(convolutions: Iterable[onnx.NodeProto], proto: onnx.ModelProto) -> list[onnx.NodeProto]:
    """Return the nodes from which one of the convolutions is reached through nothing but ``_BETWEEN``."""
    makers = {result: node for node in proto.graph.node for result in node.output}
    found: dict[str, onnx.NodeProto] = {}
    open_inputs = [node.input[0] for node in convolutions]
    while open_inputs:
        maker = makers.get(open_inputs.pop())
        if maker is not None and maker.op_type in _BETWEEN and maker.name not in found:
            found[maker.name] = maker
            open_inputs.extend(maker.input)
    return list(found.values())


class _CalibrationFilms(CalibrationDataReader):  # type: ignore[misc]  # onnxruntime has no types
    def __init__(self, batches: Iterable[Inputs], names: Collection[str]) -> None:
        self._batches, self._names = iter(batches), names

    def get_next(self) -> dict[str, NDArray[Any]] | None:
        inputs = next(self._batches, None)
        return None if inputs is None else feed(inputs, self._names)
