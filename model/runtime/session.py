"""Opens a bundle's network where it shall run, proves that it runs there, and runs batches through it.

A named execution provider that did not become active is an error, not a silent fallback (PERFORMANCE.md §A finding 4);
``auto`` may fall back, and says so. Must not know what inputs and outputs mean.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors

from model.bundle import Bundle
from model.errors import BundleIncompatible, InferenceError, ProviderUnavailable
from model.runtime.half import halved
from model.runtime.options import Engines, provider_choices, session_options
from model.runtime.precision import Precision, offers, precision_of
from model.runtime.provider import ORT_NAMES, Provider, provider_order

_logger = logging.getLogger(__name__)

Fed: TypeAlias = Mapping[str, NDArray[Any]]
Answers: TypeAlias = list[NDArray[np.float32]]

# What onnxruntime raises from a run; its classes share no base of their own.
_RUN_ERRORS = (
    ort_errors.Fail,
    ort_errors.RuntimeException,
    ort_errors.EPFail,
    ort_errors.EngineError,
    ort_errors.InvalidArgument,
    ort_errors.NotImplemented,
    RuntimeError,
)
_LOAD_ERRORS = (*_RUN_ERRORS, ort_errors.InvalidGraph, ort_errors.InvalidProtobuf)


@dataclass(frozen=True, kw_only=True)
class OpenNetwork:
    """A network that is loaded: ``provider`` is where it really runs, ``precision`` what it is computed in."""

    session: ort.InferenceSession
    provider: Provider
    precision: Precision

    def run(self, names: Sequence[str], fed: Fed) -> Answers:
        """Return the outputs ``names`` for the inputs ``fed``; safe to call from several threads.

        Raises
        ------
        InferenceError
            If the runtime fails (out of memory, say; retryable).
        """
        run = run_bound if self.provider.is_gpu else run_directly
        try:
            return run(self.session, names, fed)
        except _RUN_ERRORS as error:
            films = len(next(iter(fed.values())))
            raise InferenceError(f"onnxruntime failed on a batch of {films}: {type(error).__name__}") from error


def open_network(
    bundle: Bundle, *, provider: Provider, precision: Precision, threads: int, engines: Engines
) -> OpenNetwork:
    """Load a bundle's network on the first provider that takes it.

    Raises
    ------
    ProviderUnavailable
        If the named provider did not become active, or computes in another precision than was asked for.
    BundleIncompatible
        If onnxruntime cannot load the graph at all.
    """
    order = provider_order(provider, ort.get_available_providers())
    if provider is Provider.AUTO:
        order = tuple(choice for choice in order if offers(choice, precision)) or order[-1:]
    for choice in order[:-1]:
        try:
            return _open(bundle, choice, precision, threads=threads, engines=engines)
        except (ProviderUnavailable, BundleIncompatible) as error:
            fields = {"provider": choice.value, "code": error.code, "why": str(error)}
            _logger.warning("provider failed to load", extra={"action": "provider_failed", **fields})
    return _open(bundle, order[-1], precision, threads=threads, engines=engines)


def _open(bundle: Bundle, provider: Provider, asked: Precision, *, threads: int, engines: Engines) -> OpenNetwork:
    precision = precision_of(Precision(bundle.manifest.precision), asked, provider)
    # TensorRT makes its own choice of operators; CUDA computes in what the graph says.
    is_rewritten = provider is Provider.CUDA and precision is Precision.FP16
    network = halved(bundle.network) if is_rewritten else bundle.network
    options = session_options(provider, threads)
    choices = provider_choices(provider, bundle, precision=precision, threads=threads, engines=engines)
    try:
        # Without fallback: onnxruntime's Python would open it again on the CPU, print so, and go on.
        session = ort.InferenceSession(network, options, providers=choices, enable_fallback=0)
    except _LOAD_ERRORS as error:
        name, kind = bundle.manifest.name, type(error).__name__
        if provider is Provider.CPU:
            raise BundleIncompatible(f"onnxruntime cannot load {name}: {kind}") from error
        raise ProviderUnavailable(f"provider '{provider}' cannot load {name}: {kind}") from error
    # A CUDA build whose libraries are missing loads on the CPU without raising; only the session knows.
    active = session.get_providers()
    if active[0] != ORT_NAMES[provider]:
        raise ProviderUnavailable(f"provider '{provider}' did not become active; onnxruntime runs on {active[0]}")
    return OpenNetwork(session=session, provider=provider, precision=precision)


def run_directly(session: ort.InferenceSession, names: Sequence[str], fed: Fed) -> Answers:
    """Run inputs from where they lie; outputs are in new memory of onnxruntime's."""
    return list(session.run(names, fed))


def run_bound(session: ort.InferenceSession, names: Sequence[str], fed: Fed) -> Answers:
    """Run with inputs and outputs bound before: inputs are on the device when it begins, outputs come back once.

    A binding of its own for each run, so that batches may overlap.
    """
    binding = session.io_binding()
    for name, values in fed.items():
        binding.bind_cpu_input(name, np.ascontiguousarray(values))
    for name in names:
        binding.bind_output(name)
    session.run_with_iobinding(binding)
    return list(binding.copy_outputs_to_cpu())
