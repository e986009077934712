"""What onnxruntime is told: threads that never spin, each provider's own options, and where engines are kept.

Knows no session; ``session`` opens one with these.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

import onnxruntime as ort

from model.bundle import Bundle
from model.errors import ProviderUnavailable
from model.inputs import inputs_of
from model.manifest import Manifest
from model.runtime.precision import Precision
from model.runtime.provider import ORT_NAMES, Provider

# onnxruntime's words: a provider's name and its options.
Choice: TypeAlias = tuple[str, dict[str, str]]

# fp32 says fp32: CUDA's convolutions would otherwise round their inputs to TF32, ten bits of mantissa. Choosing
# algorithms by trying all of them, the default, would take seconds at each new number of films in a batch; growing in
# powers of two would take memory that a second bundle needs while bundles change.
_CUDA: Final = {
    "use_tf32": "0",
    "cudnn_conv_algo_search": "HEURISTIC",
    "arena_extend_strategy": "kSameAsRequested",
}
_OPENVINO_NAMES: Final = {Precision.FP32: "f32", Precision.BF16: "bf16", Precision.INT8: "f32"}


@dataclass(frozen=True, kw_only=True)
class Engines:
    """How TensorRT's engines are built and kept; no other provider asks.

    ``directory`` keeps them from one start to the next, ``None`` builds them each time. An engine is a program: whoever
    can write there decides what is computed, so that it has to be closed to others. ``largest_batch`` is the largest
    number of films that an engine is built for.
    """

    directory: Path | None = None
    largest_batch: int = 32

    def place(self, digest: str, precision: Precision) -> Path | None:
        """Return where the engines of one bundle lie, made if need be.

        One place each: TensorRT finds an engine again by the graph's form, not by its weights, so that a bundle
        trained anew would be answered by the one before it.

        Raises
        ------
        ProviderUnavailable
            If the directory cannot be made, or others can write there.
        """
        if self.directory is None:
            return None
        of_bundle = self.directory / digest
        place = of_bundle / f"{precision}-onnxruntime-{ort.__version__}"
        try:
            self.directory.parent.mkdir(parents=True, exist_ok=True)
            for directory in (self.directory, of_bundle, place):
                directory.mkdir(mode=0o700, exist_ok=True)
                if not _is_closed(directory.stat()):
                    raise ProviderUnavailable(
                        f"the engine cache {directory} can be written by others; it has to be this user's or root's, "
                        f"without write permission for group and others (chmod go-w)"
                    )
        except OSError as error:
            raise ProviderUnavailable(
                f"the engine cache {self.directory} cannot be written: {error.strerror}"
            ) from error
        return place


def session_options(provider: Provider, threads: int) -> ort.SessionOptions:
    """Return how a session runs: ``threads`` for one operator, which never spin, and pinned to no core.

    Decoding children and other workers share the cores (PERFORMANCE.md §A finding 5), and where the number of threads
    is left open onnxruntime pins each to a core of its own.
    """
    assert threads >= 1, "0 would let onnxruntime choose, and pin"
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    # The format that ``check_network`` has read, whatever the bytes look like besides.
    options.add_session_config_entry("session.load_model_format", "ONNX")
    if provider is Provider.OPENVINO:
        # A graph that OpenVINO takes in part would run on the CPU in part, in another precision than is announced.
        options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    return options


def provider_choices(
    provider: Provider, bundle: Bundle, *, precision: Precision, threads: int, engines: Engines
) -> Sequence[Choice]:
    """Return the providers of a session in their order, with their options; onnxruntime adds the CPU at the end.

    Raises
    ------
    ProviderUnavailable
        If engines cannot be kept where they should.
    """
    if provider is Provider.CUDA:
        return [(ORT_NAMES[provider], dict(_CUDA))]
    if provider is Provider.TENSORRT:
        place = engines.place(bundle.digest, precision)
        tensorrt = _tensorrt(bundle.manifest, precision, place, largest_batch=engines.largest_batch)
        # What TensorRT does not take stays on the GPU.
        return [(ORT_NAMES[provider], tensorrt), (ORT_NAMES[Provider.CUDA], dict(_CUDA))]
    if provider is Provider.OPENVINO:
        return [(ORT_NAMES[provider], _openvino(precision, threads))]
    return [(ORT_NAMES[provider], {})]


def _openvino(precision: Precision, threads: int) -> dict[str, str]:
    # Unpinned: two models in one process would share one core (PERFORMANCE.md §A finding 5). The precision is always
    # said: left open, OpenVINO takes bf16 wherever a processor has it.
    properties = {
        "INFERENCE_PRECISION_HINT": _OPENVINO_NAMES[precision],
        "INFERENCE_NUM_THREADS": str(threads),
        "NUM_STREAMS": "1",
        "ENABLE_CPU_PINNING": "NO",
    }
    return {"device_type": "CPU", "load_config": json.dumps({"CPU": properties})}


def _tensorrt(manifest: Manifest, precision: Precision, place: Path | None, *, largest_batch: int) -> dict[str, str]:
    """Return TensorRT's options: one engine for every batch up to ``largest_batch``, built before films come."""
    sides = {one.name: "x".join(str(side) for side in one.shape) for one in inputs_of(manifest)}

    def shapes(films: int) -> str:
        return ",".join(f"{name}:{films}x{side}" for name, side in sides.items())

    options = {
        "trt_fp16_enable": _flag(precision is Precision.FP16),
        "trt_bf16_enable": _flag(precision is Precision.BF16),
        "trt_int8_enable": _flag(precision is Precision.INT8),
        "trt_profile_min_shapes": shapes(1),
        "trt_profile_opt_shapes": shapes(largest_batch),
        "trt_profile_max_shapes": shapes(largest_batch),
    }
    if place is not None:
        options |= {
            "trt_engine_cache_enable": "1",
            "trt_engine_cache_path": str(place),
            "trt_timing_cache_enable": "1",
            "trt_timing_cache_path": str(place),
        }
    return options


def _is_closed(status: os.stat_result) -> bool:
    is_shared = status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    return status.st_uid in (os.geteuid(), 0) and not is_shared


def _flag(is_on: bool) -> str:
    return "1" if is_on else "0"
