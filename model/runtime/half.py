"""A graph rewritten to compute in fp16, for providers that compute in whatever a graph says. Below ``session``."""

from __future__ import annotations

from typing import Final

import onnx
from onnxruntime.transformers.float16 import DEFAULT_OP_BLOCK_LIST, convert_float_to_float16

# Sums over a film's pixels pass fp16's largest number, and what turns a margin into a probability costs nothing.
_LEFT_IN_FP32: Final = ("ReduceMean", "ReduceSum", "ReduceSumSquare", "ReduceProd", "Exp", "Log", "Sigmoid", "Softmax")


def halved(network: bytes) -> bytes:
    """Return the graph with float16 between its operators; inputs and outputs stay as they are.

    Weights beyond fp16's range are clipped to it; golden inputs show whether that matters.
    """
    proto = convert_float_to_float16(
        onnx.load_model_from_string(network),
        keep_io_types=True,
        op_block_list=[*DEFAULT_OP_BLOCK_LIST, *_LEFT_IN_FP32],
    )
    return bytes(proto.SerializeToString())
