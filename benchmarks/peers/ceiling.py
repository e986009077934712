"""What the cores could do at most: processor time of the network and of decoding, and nothing else.

Measured in the same run as the contenders, so that a slow or busy machine lowers both. The network counts with what it
costs in the cheapest way to run it here that keeps every core busy, whichever way this service runs it.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnxruntime as ort

from model.decoding.decode import decode
from model.decoding.inspect import inspect_header
from model.preprocessing import PreprocessingSpec, preprocess

# On some machines a batch of 4 costs a tenth less a film than four of one, on others nothing; more gain no more.
_BATCHES: Final = (1, 4)
_DECODED_A_ROUND: Final = 15


@dataclass(frozen=True, kw_only=True)
class Ceiling:
    """Milliseconds of processor time a film costs at least, and how many films a second ``cores`` can do then.

    ``model_ms`` has every way to run the network by its name, ``decode_ms`` is bytes to tensor.
    """

    cores: int
    model_ms: Mapping[str, float]
    decode_ms: float

    @property
    def cheapest(self) -> str:
        """Name of the way in which the network costs least."""
        return min(self.model_ms, key=self.model_ms.__getitem__)

    @property
    def per_second(self) -> float:
        """Films a second where nothing but decoding and the network costs anything."""
        return self.cores * 1000 / (self.model_ms[self.cheapest] + self.decode_ms)


def measure_ceiling(network: Path, payload: bytes, *, rounds: int) -> Ceiling:
    """Measure on this process's cores: medians of so many rounds, of which each takes every way in turn.

    The network runs without spinning, with a thread for each core or with a core for each of several films (or batches)
    at once. Decoding is measured alone on its core, which is nothing in our favour; digest, gates and preview count as
    ours to save.
    """
    cores = len(os.sched_getaffinity(0))
    by_threads = {threads: _session(network, threads) for threads in dict.fromkeys((cores, 1))}
    spec = PreprocessingSpec(size=by_threads[cores].get_inputs()[0].shape[2])
    tensor = _tensor_of(payload, spec)
    ways: dict[str, Callable[[], float]] = {
        f"{cores // threads} x {threads} {'thread' if threads == 1 else 'threads'}, batch {batch}": partial(
            _model_ms, session, np.repeat(tensor[np.newaxis], batch, axis=0), at_once=cores // threads, cores=cores
        )
        for threads, session in by_threads.items()
        for batch in _BATCHES
    }
    spent: dict[str, list[float]] = {name: [] for name in ways}
    decoding = []
    for number in range(rounds + 1):
        found = {name: way() for name, way in ways.items()}
        decode_ms = statistics.median(_processor_ms(lambda: _tensor_of(payload, spec)) for _ in range(_DECODED_A_ROUND))
        if number:  # the first round warms up
            decoding.append(decode_ms)
            for name, cost in found.items():
                spent[name].append(cost)
    model_ms = {name: statistics.median(costs) for name, costs in spent.items()}
    return Ceiling(cores=cores, model_ms=model_ms, decode_ms=statistics.median(decoding))


def _session(network: Path, threads: int) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return ort.InferenceSession(network, options, providers=["CPUExecutionProvider"])


def _model_ms(session: ort.InferenceSession, films: np.ndarray[Any, Any], *, at_once: int, cores: int) -> float:
    """Return the processor milliseconds of a film, over some films for each core."""
    calls = max(_BATCHES) * cores // (len(films) * at_once)
    name = session.get_inputs()[0].name

    def run_on(_: int) -> None:
        for _ in range(calls):
            session.run(None, {name: films})

    def run() -> None:
        with ThreadPoolExecutor(at_once) as callers:
            list(callers.map(run_on, range(at_once)))

    return _processor_ms(run) / (calls * at_once * len(films))


def _tensor_of(payload: bytes, spec: PreprocessingSpec) -> np.ndarray[Any, Any]:
    return preprocess(decode(payload, inspect_header(payload)), spec)


def _processor_ms(call: Callable[[], object]) -> float:
    started = time.process_time_ns()
    call()
    return (time.process_time_ns() - started) / 1e6
