"""What the cores could do at most: processor time of the network and of decoding, and nothing else.

Measured in the same run as the contenders, so that a slow or busy machine lowers both.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import onnxruntime as ort

from model.decoding.decode import decode
from model.decoding.inspect import inspect_header
from model.preprocessing import PreprocessingSpec, preprocess

_LEAST_CALLS: Final = 15


@dataclass(frozen=True, kw_only=True)
class Ceiling:
    """Milliseconds of processor time a film costs at least, and how many films a second ``cores`` can do then."""

    cores: int
    model_ms: float
    decode_ms: float

    @property
    def per_second(self) -> float:
        """Films a second where nothing but decoding and the network costs anything."""
        return self.cores * 1000 / (self.model_ms + self.decode_ms)


def measure_ceiling(network: Path, payload: bytes, *, seconds: float) -> Ceiling:
    """Measure both on this process's cores, each for about so long.

    The network runs with a thread for each core and without spinning, one film at a time: on CPUs batches gain
    nothing (PERFORMANCE.md §A finding 2). Decoding is bytes to tensor; digest, gates and preview count as ours to save.
    """
    cores = len(os.sched_getaffinity(0))
    options = ort.SessionOptions()
    options.intra_op_num_threads = cores
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = ort.InferenceSession(network, options, providers=["CPUExecutionProvider"])
    film = session.get_inputs()[0]
    spec = PreprocessingSpec(size=film.shape[2])
    tensor = _tensor_of(payload, spec)[np.newaxis]
    return Ceiling(
        cores=cores,
        model_ms=_processor_ms(lambda: session.run(None, {film.name: tensor}), seconds),
        decode_ms=_processor_ms(lambda: _tensor_of(payload, spec), seconds),
    )


def _tensor_of(payload: bytes, spec: PreprocessingSpec) -> np.ndarray:
    return preprocess(decode(payload, inspect_header(payload)), spec)


def _processor_ms(call: Callable[[], object], seconds: float) -> float:
    call()
    spent: list[float] = []
    until = time.perf_counter() + seconds
    while len(spent) < _LEAST_CALLS or time.perf_counter() < until:
        started = time.process_time_ns()
        call()
        spent.append((time.process_time_ns() - started) / 1e6)
    return statistics.median(spent)
