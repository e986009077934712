"""Refuses graphs that reach outside their own bytes, before any runtime sees them. Below ``runtime``.

Walks every message of the graph, whatever field it lies in: lists of places where a tensor may hide were incomplete in
onnx four times (CVE-2022-25882, -2024-27318, -2026-27489, -2026-34446 and -34447) and in onnxruntime three times
(pull requests 26776, 27430, 28709).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import onnx
from google.protobuf.message import DecodeError, Message
from google.protobuf.unknown_fields import UnknownFieldSet

from model.errors import BundleIncompatible

_ALLOWED_DOMAINS: Final = frozenset({"", "ai.onnx", "ai.onnx.ml"})
# onnxruntime's own format, which it would recognise by these bytes and read instead of the graph that was checked.
_FLATBUFFER_MARK: Final = b"ORTM"
_MARK_AT: Final = slice(4, 8)


def check_network(network: bytes) -> None:
    """Refuse a graph unless it is ONNX, whole, and made of ONNX's own operators.

    Raises
    ------
    BundleIncompatible
        If the bytes are no ONNX graph or hold fields that this version does not know; name external data, anywhere;
        use operators of a domain other than ONNX's own, functions, or graphs for training.
    """
    if network[_MARK_AT] == _FLATBUFFER_MARK:
        raise BundleIncompatible("model.onnx is not an ONNX graph")
    try:
        proto = onnx.load_model_from_string(network)
    except DecodeError as error:
        raise BundleIncompatible("model.onnx is not an ONNX graph") from error
    # Only what is used counts: quantisation tools import domains of which the graph then has no operator.
    domains: set[str] = set()
    for message in _messages(proto):
        # What this parser skips another one may understand.
        if len(UnknownFieldSet(message)):
            raise BundleIncompatible("model.onnx holds fields that this version of ONNX does not know")
        if isinstance(message, onnx.TensorProto) and _is_external(message):
            raise BundleIncompatible("model.onnx refers to external data; export it as one self-contained file")
        if isinstance(message, onnx.NodeProto):
            domains.add(message.domain)
    foreign = sorted(domains - _ALLOWED_DOMAINS)
    if foreign or proto.functions:
        raise BundleIncompatible(f"model.onnx uses custom operators or functions ({', '.join(foreign) or 'functions'})")
    if proto.training_info:
        raise BundleIncompatible("model.onnx holds graphs for training")


def _is_external(tensor: onnx.TensorProto) -> bool:
    return tensor.data_location != onnx.TensorProto.DEFAULT or bool(tensor.external_data)


def _messages(message: Message) -> Iterator[Message]:
    """Yield a message and all that it holds; the parser has bounded how deep they nest."""
    yield message
    for field, value in message.ListFields():
        if field.message_type is not None:
            for inner in (value,) if isinstance(value, Message) else value:
                yield from _messages(inner)
