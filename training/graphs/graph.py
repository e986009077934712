"""From served network to one self-contained ONNX file, and what onnxruntime answers from it.

The file stores weights as float16 with a Cast each, which onnxruntime folds when it loads: half the bytes, float32
speed. They were rounded in torch before (``folding.prepare_for_export``), so that nothing is lost here.
"""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from typing import TypeAlias

import numpy as np
import onnx
import onnxruntime as ort
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from training.datasets.inputs import Inputs
from training.graphs.folding import HALVED_FROM
from training.graphs.served import MARGIN, PROBABILITY, ServedNetwork, feed
from training.statistics.metrics import Floats

Answers: TypeAlias = NDArray[np.float32]

_NOISY_LOGGERS = ("torch.onnx", "torch.export", "onnxscript", "onnx_ir")
# Opset domains that onnxruntime's tools declare without using; the runtime refuses any but ONNX's own.
_STANDARD_DOMAINS = ("", "ai.onnx")


def export_graph(served: ServedNetwork, *, size: int, opset: int) -> onnx.ModelProto:
    """Return the network as an ONNX graph in float32 with all of its outputs; its inputs share a free batch dimension.

    Stack traces, which the exporter writes into every node, are removed: they quote this machine's paths.
    """
    films = torch.export.Dim("n", min=1)
    examples = (torch.zeros((2, 1, size, size), dtype=torch.uint8), torch.zeros((2, 2)))[: len(served.input_names)]
    with quiet():
        program = torch.onnx.export(
            served,
            examples,
            input_names=list(served.input_names),
            output_names=list(served.output_names),
            dynamic_shapes={name: {0: films} for name in served.input_names},
            opset_version=opset,
            dynamo=True,
            external_data=False,
            verbose=False,
        )
    assert program is not None
    proto = program.model_proto
    _remove_traces(proto)
    return proto


def pack_graph(proto: onnx.ModelProto, *, half_precision_weights: bool) -> bytes:
    """Return the bytes that ship: without the margin, which only measurements ask for, and with weights as float16."""
    packed = onnx.ModelProto()
    packed.CopyFrom(proto)
    kept = [output for output in packed.graph.output if output.name != MARGIN]
    del packed.graph.output[:]
    packed.graph.output.extend(kept)
    imports = [entry for entry in packed.opset_import if entry.domain in _STANDARD_DOMAINS]
    del packed.opset_import[:]
    packed.opset_import.extend(imports)
    if half_precision_weights:
        _store_half(packed.graph)
    onnx.checker.check_model(packed, full_check=True)
    return bytes(packed.SerializeToString())


def score_graph(graph: bytes, batches: Iterable[Inputs], *, threads: int) -> Floats:
    """Return the probabilities ``(n,)`` that onnxruntime on the CPU gives."""
    answers = graph_outputs(graph, batches, threads=threads, names=(PROBABILITY,))
    return answers[PROBABILITY].astype(np.float64)


def graph_outputs(graph: bytes, batches: Iterable[Inputs], *, threads: int, names: Sequence[str]) -> dict[str, Answers]:
    """Return what onnxruntime on the CPU answers, over all films, by output name.

    ``names`` that the graph does not have are left out. The margin, which is inside of every graph but no output of
    one that ships, can be asked for like the others. A graph that takes age and sex counts those that nobody gave as
    unknown.
    """
    if MARGIN in names:
        graph = _with_margin(graph)
    session = open_graph(graph, threads=threads)
    there = {output.name for output in session.get_outputs()}
    asked = [name for name in names if name in there]
    taken = {node.name for node in session.get_inputs()}
    answers = [session.run(asked, feed(inputs, taken)) for inputs in batches]
    return {name: np.concatenate(parts) for name, parts in zip(asked, zip(*answers, strict=True), strict=True)}


def open_graph(graph: bytes, *, threads: int) -> ort.InferenceSession:
    """Return a session on the CPU, as the worker's: its threads do not spin."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


@contextmanager
def quiet() -> Iterator[None]:
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


def _with_margin(graph: bytes) -> bytes:
    proto = onnx.load_model_from_string(graph)
    if MARGIN not in {output.name for output in proto.graph.output}:
        proto.graph.output.append(helper.make_tensor_value_info(MARGIN, TensorProto.FLOAT, ["n"]))
    return bytes(proto.SerializeToString())


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
        if weights.size < HALVED_FROM or not is_exact:
            kept.append(tensor)
            continue
        stored = f"{tensor.name}.float16"
        kept.append(numpy_helper.from_array(weights.astype(np.float16), stored))
        casts.append(helper.make_node("Cast", [stored], [tensor.name], to=TensorProto.FLOAT))
    nodes = [*casts, *graph.node]
    del graph.initializer[:], graph.node[:]
    graph.initializer.extend(kept)
    graph.node.extend(nodes)
