"""Part (f): does a GPU wait for this service? Where there is none, the rows say so and nothing is guessed.

Two rows. The batcher fed with ready tensors against the bare session on the same tensors in the same batch: what is
lost is ours. And a whole service against what its cores can decode: with a GPU behind them that is the limit
(PERFORMANCE.md §E).
"""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any, Final

import numpy as np
import onnxruntime as ort

from benchmarks.family import run_part
from benchmarks.loads import closed_load, screen_pngs
from benchmarks.machine import machine_facts
from benchmarks.resnet50 import resnet50_bundle
from benchmarks.results import PartOptions, Row, part_options, read_part, write_part
from benchmarks.service import running_service
from model.bundle import read_bundle
from model.image import Tensor
from model.runtime import Engines, Precision, Provider, Scorer
from model.runtime.session import open_network
from services.jobs.ending import end
from services.worker.batching import Batcher, BatchPolicy
from services.worker.heartbeat import Watchdog
from tests.support.bundles import golden_tensors

_CUDA: Final = "CUDAExecutionProvider"
_BATCH: Final = 32
_SIZES: Final = (224, 512)
_GOAL: Final = 0.90
_BATCHES: Final = 200
_QUICK_BATCHES: Final = 40
_ROUNDS: Final = 5
_SECONDS: Final = 20.0
_WARM_UP_SECONDS: Final = 5.0
_IN_FLIGHT: Final = 128
_DECODED: Final = "PNG 1024"
_WATCHDOG_SECONDS: Final = 600.0


def bare_rate(session: ort.InferenceSession, tensors: Tensor, *, batches: int) -> float:
    """Return films a second of the session alone."""
    began = time.perf_counter()
    for _ in range(batches):
        session.run(["probability"], {"film": tensors})
    return batches * len(tensors) / (time.perf_counter() - began)


async def batcher_rate(scorer: Scorer, tensors: Tensor, *, batches: int) -> float:
    """Return films a second of the worker's batcher, with two batches of ready tensors always on their way."""
    policy = BatchPolicy(max_films=len(tensors), patience_seconds=0.004)
    watchdog = Watchdog(seconds=_WATCHDOG_SECONDS)
    batcher = Batcher(scorer, policy=policy, watchdog=watchdog, new_memory=scorer.batch_memory)
    running = asyncio.create_task(batcher.run())
    left = batches * len(tensors)

    async def send_on(tensor: Tensor) -> None:
        nonlocal left
        while left > 0:
            left -= 1
            with batcher.expecting():
                await batcher.score(tensor)

    began = time.perf_counter()
    await asyncio.gather(*(send_on(tensor) for tensor in (*tensors, *tensors)))
    seconds = time.perf_counter() - began
    await end([running])
    return batches * len(tensors) / seconds


def batcher_against_session(bundle: Path, provider: Provider, *, batch: int, batches: int) -> dict[str, Any]:
    """Return both rates, measured in turn in this process."""
    read, threads = read_bundle(bundle), len(os.sched_getaffinity(0))
    # The same options: onnxruntime's own would compute in TF32, another precision than fp32.
    session = open_network(
        read, provider=provider, precision=Precision.FP32, threads=threads, engines=Engines()
    ).session
    scorer = Scorer(read, provider=provider, threads=threads)
    drawn = golden_tensors(read.manifest.preprocessing.size, 8)
    tensors = np.ascontiguousarray(drawn[np.arange(batch) % len(drawn)])
    rates: dict[str, list[float]] = {"session": [], "batcher": []}
    for number in range(_ROUNDS + 1):
        bare = bare_rate(session, tensors, batches=batches)
        ours = asyncio.run(batcher_rate(scorer, tensors, batches=batches))
        if number:  # the first round warms both up
            rates["session"].append(bare)
            rates["batcher"].append(ours)
    return {"network": bundle.name, "batch": batch, **{name: median(found) for name, found in rates.items()}}


def service_rate(bundle: Path, options: PartOptions) -> float:
    """Return films a second of a whole service with one worker on the GPU and every core decoding."""
    cores = len(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory(prefix="gpu-", dir=options.directory) as folder:
        settings: dict[str, Any] = {"worker_provider": "cuda", "worker_decoders": cores}
        with running_service(Path(folder), bundle=bundle, **settings) as service:
            seen = closed_load(
                service.url,
                screen_pngs(),
                concurrency=_IN_FLIGHT,
                seconds=_WARM_UP_SECONDS + _SECONDS,
                warm_up_seconds=_WARM_UP_SECONDS,
            )
    return seen.per_second


def _decode_row(bundle: Path, options: PartOptions) -> Row:
    name, cores = f"service on a GPU, {_DECODED}, against cores x decode rate", len(os.sched_getaffinity(0))
    decoding = read_part(options.directory, "decoding")
    if decoding is None:
        return Row.unmeasured(name, goal=_GOAL, unit="x", note="part 'decoding' has not run")
    child_ms = next(line["child_ms"] for line in decoding["data"]["table"] if line["item"] == _DECODED)
    limit, rate = cores * 1000 / child_ms, service_rate(bundle, options)
    note = f"{rate:.0f} films/s of {limit:.0f}; the load generator takes its part of the cores"
    return Row.at_least(name, goal=_GOAL, measured=rate / limit, unit="x", note=note)


def main() -> None:
    """Measure where there is a GPU, write gpu.json."""
    options, started = part_options(__doc__), machine_facts()
    names = [f"batcher on a GPU against the bare session, ResNet50 {size}, batch {_BATCH}" for size in _SIZES]
    table: list[dict[str, Any]] = []
    if _CUDA in ort.get_available_providers() and started.gpus:
        bundles = [resnet50_bundle(options.directory, size) for size in _SIZES]
        batches = _QUICK_BATCHES if options.is_quick else _BATCHES
        table = [batcher_against_session(bundle, Provider.CUDA, batch=_BATCH, batches=batches) for bundle in bundles]
        rows = [
            Row.at_least(name, goal=_GOAL, measured=line["batcher"] / line["session"], unit="x")
            for name, line in zip(names, table, strict=True)
        ]
        rows.append(_decode_row(bundles[0], options))
    else:
        why = "no GPU on this machine" if not started.gpus else "this onnxruntime has no CUDA"
        names.append(f"service on a GPU, {_DECODED}, against cores x decode rate")
        rows = [Row.unmeasured(name, goal=_GOAL, unit="x", note=why) for name in names]
    write_part("gpu", rows, {"table": table}, started=started, options=options)


if __name__ == "__main__":
    run_part(main)
