"""The int8 variant of a graph: convolutions in eight bits, everything that explains and decides in float32.

Activations u8, weights s8 per channel, as QuantizeLinear/DequantizeLinear pairs that any runtime reads. The stem stays
float32: it sees the film's own gray levels, and is a small part of the work (ML.md §C). Head, class activation map and
embedding stay float32 too, so that the map explains the int8 margin as exactly as the float32 one.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path

import onnx
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from model.image import Tensor
from training.graphs.served import FILM

_CONVOLUTION = "Conv"
# Not the stem, whose weights are backbone.conv1, and not what the embedding convolves.
_STAGE_WEIGHTS = "network.backbone.layer"


def quantise(proto: onnx.ModelProto, batches: Iterable[Tensor]) -> onnx.ModelProto:
    """Return the graph with all convolutions of the residual stages in int8.

    Ranges are the smallest and largest activations over ``batches`` ``(b, 1, s, s)`` uint8 of training films.
    Files are written below the machine's folder for temporary ones and removed again.
    """
    with tempfile.TemporaryDirectory(prefix="cxr-int8-") as folder:
        plain, ready, written = (Path(folder) / name for name in ("plain.onnx", "ready.onnx", "int8.onnx"))
        onnx.save_model(proto, plain)
        quant_pre_process(plain, ready, skip_symbolic_shape=True)
        quantize_static(
            ready,
            written,
            _CalibrationFilms(batches),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=[_CONVOLUTION],
            per_channel=True,
            # Seven bits of weight: two products then fit into the 16 bits that CPUs without VNNI add them in, so that
            # those do not saturate and answer otherwise (onnxruntime, "Quantize ONNX models", on U8S8).
            reduce_range=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            nodes_to_quantize=_stages(onnx.load_model(ready)),
            calibrate_method=CalibrationMethod.MinMax,
        )
        return onnx.load_model(written)


def _stages(proto: onnx.ModelProto) -> list[str]:
    names = [
        node.name
        for node in proto.graph.node
        if node.op_type == _CONVOLUTION and node.input[1].startswith(_STAGE_WEIGHTS)
    ]
    # Given no names, onnxruntime quantises everything.
    assert names, "no convolution of the residual stages in this graph"
    return names


class _CalibrationFilms(CalibrationDataReader):  # type: ignore[misc]  # onnxruntime has no types
    def __init__(self, batches: Iterable[Tensor]) -> None:
        self._batches = iter(batches)

    def get_next(self) -> dict[str, Tensor] | None:
        films = next(self._batches, None)
        return None if films is None else {FILM: films}
