"""Runs a bundle's network with onnxruntime. Imported by the worker and by training, never by the gateway.

A named execution provider that did not become active is an error, not a silent fallback (PERFORMANCE.md §A finding 4);
``auto`` may fall back, and says so. Must not know queues, files or films' origins.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from enum import StrEnum

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors

from model.bundle import Bundle
from model.decision import Finding, Score
from model.demographics import AgeSex
from model.errors import BundleCorrupt, BundleIncompatible, InferenceError, ProviderUnavailable
from model.image import Tensor
from model.inputs import check_inputs, feed
from model.network_check import check_network
from model.outputs import Role, outputs_of

_logger = logging.getLogger(__name__)


class Provider(StrEnum):
    """Where the network runs. ``auto`` takes CUDA where it can be loaded, else the CPU."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"


_ORT_NAMES = {Provider.CPU: "CPUExecutionProvider", Provider.CUDA: "CUDAExecutionProvider"}

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


class Scorer:
    """A bundle, ready to score.

    Parameters
    ----------
    bundle
        Verified bytes; nothing is read from disk again.
    provider
        ``auto``, ``cpu`` or ``cuda``.
    threads
        Intra-operator threads; 0 lets onnxruntime choose one per core. Threads never spin, because decoding children
        and other workers share the cores (PERFORMANCE.md §A finding 5).

    Attributes
    ----------
    provider
        Where the network really runs; never ``auto``.

    Raises
    ------
    ProviderUnavailable
        If the named provider did not become active.
    BundleIncompatible
        If the graph does not have the inputs and outputs that the manifest names, in their types and shapes.
    """

    def __init__(self, bundle: Bundle, *, provider: Provider = Provider.AUTO, threads: int = 0) -> None:
        check_network(bundle.network)
        self.manifest = bundle.manifest
        self.digest = bundle.digest
        self._golden = bundle.golden_tensors, bundle.golden_age_sex
        self._session = _load(bundle, provider_order(provider, ort.get_available_providers()), threads)
        self.provider = _active(self._session)
        if provider not in (Provider.AUTO, self.provider):
            raise ProviderUnavailable(
                f"provider '{provider}' did not become active; onnxruntime runs on {self.provider}"
            )
        self._outputs = outputs_of(bundle)
        self._check_signature()

    def _check_signature(self) -> None:
        check_inputs(self.manifest, {node.name: node for node in self._session.get_inputs()})
        answers = {node.name: node for node in self._session.get_outputs()}
        missing = {output.name for output in self._outputs} - set(answers)
        if missing:
            raise BundleIncompatible(f"model.onnx lacks the outputs {sorted(missing)}")
        for output in self._outputs:
            node = answers[output.name]
            output.check_declared(node.type, node.shape)

    def score(self, tensors: Tensor, age_sex: AgeSex | None = None) -> list[Score]:
        """Score ``(n, 1, s, s)`` uint8 tensors; one ``Score`` a film, in order. May hold non-finite values.

        ``age_sex`` is ``(n, 2)`` float32 of the same films, NaN where unknown, for a bundle that takes it; without it
        nothing is known of any.

        Raises
        ------
        InferenceError
            If the runtime fails (out of memory, say; retryable), or age and sex do not belong to these films.
        """
        names = [output.name for output in self._outputs]
        try:
            answers = self._session.run(names, feed(self.manifest, tensors, age_sex))
        except _RUN_ERRORS as error:
            raise InferenceError(f"onnxruntime failed on a batch of {len(tensors)}: {type(error).__name__}") from error
        for output, answer in zip(self._outputs, answers, strict=True):
            output.check_answer(answer, films=len(tensors))
        named = {output.role: answer for output, answer in zip(self._outputs, answers, strict=True)}
        return [self._score(named, film) for film in range(len(tensors))]

    def _score(self, named: dict[Role, NDArray[np.float32]], film: int) -> Score:
        findings = named[Role.FINDINGS][film].tolist() if Role.FINDINGS in named else ()
        return Score(
            probability=float(named[Role.PROBABILITY][film]),
            findings=tuple(
                Finding(label=label, probability=value)
                for label, value in zip(self.manifest.labels, findings, strict=True)
            ),
            embedding=named[Role.EMBEDDING][film] if Role.EMBEDDING in named else None,
            activation=named[Role.ACTIVATION][film] if Role.ACTIVATION in named else None,
        )

    def verify_golden(self) -> None:
        """Score the bundle's golden inputs again, before anything is served.

        Raises
        ------
        BundleCorrupt
            If one differs from the manifest by more than its tolerance: this machine would give other results than
            the one that certified the thresholds.
        """
        tensors, age_sex = self._golden
        for index, expected in enumerate(self.manifest.golden_probabilities):
            one = slice(index, index + 1)
            actual = self.score(tensors[one], None if age_sex is None else age_sex[one])[0].probability
            if not abs(actual - expected) <= self.manifest.golden_tolerance:
                raise BundleCorrupt(
                    f"golden input {index} of {self.manifest.name} scores {actual:.6f} here, "
                    f"{expected:.6f} in its manifest"
                )


def provider_order(provider: Provider, available: Sequence[str]) -> tuple[Provider, ...]:
    """Return the providers to try, best first; ``available`` holds onnxruntime's own names.

    Raises
    ------
    ProviderUnavailable
        If a named provider is not in this build of onnxruntime.
    """
    if provider is Provider.AUTO:
        return tuple(choice for choice in (Provider.CUDA, Provider.CPU) if _ORT_NAMES[choice] in available)
    if _ORT_NAMES[provider] not in available:
        raise ProviderUnavailable(
            f"provider '{provider}' is not in this onnxruntime, which offers: {', '.join(available)}; "
            f"install the extra that carries it, or choose provider 'auto'"
        )
    return (provider,)


def _load(bundle: Bundle, order: tuple[Provider, ...], threads: int) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # The format that ``check_network`` has read, whatever the bytes look like besides.
    options.add_session_config_entry("session.load_model_format", "ONNX")
    for position, choice in enumerate(order, start=1):
        try:
            return ort.InferenceSession(bundle.network, options, providers=[_ORT_NAMES[choice]])
        except _LOAD_ERRORS as error:
            if position == len(order):
                name = bundle.manifest.name
                raise BundleIncompatible(f"onnxruntime cannot load {name}: {type(error).__name__}") from error
            _logger.warning("provider failed to load", extra={"action": "provider_failed", "provider": choice.value})
    raise ProviderUnavailable("this onnxruntime offers neither the CPU nor CUDA")


def _active(session: ort.InferenceSession) -> Provider:
    # A CUDA build whose libraries are missing loads on the CPU without raising; only the session knows.
    first = session.get_providers()[0]
    return next(choice for choice, name in _ORT_NAMES.items() if name == first)
