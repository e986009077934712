"""From trained network to the one ONNX file that ships: batch normalisation folded, weights in half precision.

Weights are rounded in torch first, so that the exported graph can be held against exactly the network it came from.
The file stores them as float16 with a Cast each, which onnxruntime folds when it loads: half the bytes, float32 speed.
"""

from __future__ import annotations

import copy
import io
import logging
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, redirect_stdout

import numpy as np
import onnx
import onnxruntime as ort
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from model import image
from training.errors import ParityError
from training.metrics import Floats
from training.network import TriageNetwork

INPUT_NAME = "film"
OUTPUT_NAME = "probability"
# Biases and scales stay in float32: they are few, and rounding them costs more than their bytes are worth.
_HALVED_FROM = 1024
_NOISY_LOGGERS = ("torch.onnx", "torch.export", "onnxscript", "onnx_ir")


class ServedNetwork(nn.Module):
    """Films ``(n, 1, s, s)`` uint8 in, calibrated probability of unhealthy ``(n,)`` out."""

    def __init__(self, network: TriageNetwork, temperature: float) -> None:
        super().__init__()
        self.network = network
        self._temperature = temperature

    def forward(self, film: Tensor) -> Tensor:
        """Return the second entry of the softmax of the logits over the temperature."""
        return torch.softmax(self.network(film) / self._temperature, dim=1)[:, 1]


def prepare_for_export(network: TriageNetwork, *, half_precision_weights: bool) -> TriageNetwork:
    """Return a copy in evaluation mode with batch normalisation folded in and, if asked, weights rounded to float16."""
    prepared: TriageNetwork = copy.deepcopy(network).cpu().eval()
    for module in list(prepared.backbone.modules()):
        _fold_batch_norm(module)
    if half_precision_weights:
        with torch.no_grad():
            for parameter in prepared.parameters():
                if parameter.numel() >= _HALVED_FROM:
                    parameter.copy_(parameter.half().float())
    return prepared


def _fold_batch_norm(module: nn.Module) -> None:
    children = dict(module.named_children())
    pairs = [(f"conv{index}", f"bn{index}") for index in (1, 2, 3)]
    if isinstance(module, nn.Sequential):
        pairs = [("0", "1")]
    for conv_name, norm_name in pairs:
        conv, norm = children.get(conv_name), children.get(norm_name)
        if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
            setattr(module, conv_name, fuse_conv_bn_eval(conv, norm))
            setattr(module, norm_name, nn.Identity())


def margins(network: TriageNetwork, batches: Iterable[image.Tensor]) -> Floats:
    """Return the logit differences ``(n,)`` of batches ``(b, 1, s, s)`` uint8; positive leans to unhealthy."""
    with torch.inference_mode():
        logits = torch.cat([network(torch.from_numpy(films)) for films in batches])
    return np.asarray((logits[:, 1] - logits[:, 0]).double().numpy())


def probabilities(served: ServedNetwork, batches: Iterable[image.Tensor]) -> Floats:
    """Return what the network would serve for batches ``(b, 1, s, s)`` uint8, ``(n,)``."""
    with torch.inference_mode():
        scores = torch.cat([served(torch.from_numpy(films)) for films in batches])
    return np.asarray(scores.double().numpy())


def export_graph(served: ServedNetwork, *, size: int, opset: int, half_precision_weights: bool) -> bytes:
    """Return the network as one self-contained ONNX file with a free batch dimension.

    Stack traces, which the exporter writes into every node, are removed: they quote this machine's paths.
    """
    example = torch.zeros((2, 1, size, size), dtype=torch.uint8)
    with _quiet():
        program = torch.onnx.export(
            served,
            (example,),
            input_names=[INPUT_NAME],
            output_names=[OUTPUT_NAME],
            dynamic_shapes={"film": {0: torch.export.Dim("n", min=1)}},
            opset_version=opset,
            dynamo=True,
            external_data=False,
            verbose=False,
        )
    assert program is not None
    proto = program.model_proto
    _remove_traces(proto)
    if half_precision_weights:
        _store_half(proto.graph)
    onnx.checker.check_model(proto, full_check=True)
    return bytes(proto.SerializeToString())


def score_graph(graph: bytes, batches: Iterable[image.Tensor], *, threads: int) -> Floats:
    """Return the probabilities ``(n,)`` that onnxruntime on the CPU gives for batches ``(b, 1, s, s)`` uint8."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    session = ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    scores = [session.run([OUTPUT_NAME], {INPUT_NAME: films})[0] for films in batches]
    return np.concatenate(scores).astype(np.float64)


def require_parity(network: Floats, graph: Floats, tolerance: float) -> float:
    """Return the largest difference between two sets of probabilities.

    Raises
    ------
    ParityError
        If it exceeds ``tolerance`` or is no number.
    """
    difference = float(np.abs(network - graph).max())
    if not difference <= tolerance:
        raise ParityError(f"the exported graph differs from the network by {difference:.1e}, allowed is {tolerance:g}")
    return difference


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter's remarks about packages that nothing here needs to itself; its errors are exceptions."""
    before = {name: logging.getLogger(name).level for name in _NOISY_LOGGERS}
    for name in _NOISY_LOGGERS:
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        for name, level in before.items():
            logging.getLogger(name).setLevel(level)


def _remove_traces(proto: onnx.ModelProto) -> None:
    proto.doc_string = proto.graph.doc_string = ""
    del proto.metadata_props[:], proto.graph.metadata_props[:]
    for part in (*proto.graph.node, *proto.graph.value_info, *proto.graph.input, *proto.graph.output):
        part.doc_string = ""
        del part.metadata_props[:]


def _store_half(graph: onnx.GraphProto) -> None:
    casts, kept = [], []
    for tensor in graph.initializer:
        weights = numpy_helper.to_array(tensor)
        is_exact = weights.dtype == np.float32 and np.array_equal(weights.astype(np.float16), weights)
        if weights.size < _HALVED_FROM or not is_exact:
            kept.append(tensor)
            continue
        stored = f"{tensor.name}.float16"
        kept.append(numpy_helper.from_array(weights.astype(np.float16), stored))
        casts.append(helper.make_node("Cast", [stored], [tensor.name], to=TensorProto.FLOAT))
    nodes = [*casts, *graph.node]
    del graph.initializer[:], graph.node[:]
    graph.initializer.extend(kept)
    graph.node.extend(nodes)
