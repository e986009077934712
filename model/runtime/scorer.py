"""A bundle ready to score: films and what is known of patients in, scores out, golden inputs checked before.

Imported by the worker and by training, never by the gateway. Must not know queues, files or films' origins.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

from model.bundle import Bundle
from model.decision import Finding, Score
from model.demographics import AgeSex
from model.errors import BundleCorrupt, BundleIncompatible
from model.image import Tensor
from model.inputs import check_inputs, feed
from model.network_check import check_network
from model.outputs import Role, outputs_of
from model.runtime.memory import batch_memory
from model.runtime.options import Engines
from model.runtime.precision import Precision, golden_tolerance
from model.runtime.provider import Provider
from model.runtime.session import open_network

_BUILT_EACH_TIME: Final = Engines()


class Scorer:
    """A bundle, ready to score.

    Parameters
    ----------
    bundle
        Verified bytes; nothing is read from disk again.
    provider
        Where it shall run.
    precision
        What it shall be computed in; ``auto`` is fp32. An int8 bundle is computed as it is.
    threads
        For one operator, at least 1. Threads never spin, because decoding children and other workers share the cores
        (PERFORMANCE.md §A finding 5).
    engines
        How TensorRT builds and keeps its engines.

    Attributes
    ----------
    provider
        Where the network really runs; never ``auto``.
    precision
        What it is really computed in; never ``auto``.

    Raises
    ------
    ProviderUnavailable
        If the named provider did not become active, or does not compute in what was asked for.
    BundleIncompatible
        If the graph does not have the inputs and outputs that the manifest names, in their types and shapes.
    """

    def __init__(
        self,
        bundle: Bundle,
        *,
        provider: Provider = Provider.AUTO,
        precision: Precision = Precision.AUTO,
        threads: int = 1,
        engines: Engines = _BUILT_EACH_TIME,
    ) -> None:
        check_network(bundle.network)
        self.manifest = bundle.manifest
        self.digest = bundle.digest
        self._golden = bundle.golden_tensors, bundle.golden_age_sex
        self._largest_batch = engines.largest_batch
        self._network = open_network(bundle, provider=provider, precision=precision, threads=threads, engines=engines)
        self.provider, self.precision = self._network.provider, self._network.precision
        self._outputs = outputs_of(bundle)
        self._check_signature()

    def _check_signature(self) -> None:
        session = self._network.session
        check_inputs(self.manifest, {node.name: node for node in session.get_inputs()})
        answers = {node.name: node for node in session.get_outputs()}
        missing = {output.name for output in self._outputs} - set(answers)
        if missing:
            raise BundleIncompatible(f"model.onnx lacks the outputs {sorted(missing)}")
        for output in self._outputs:
            node = answers[output.name]
            output.check_declared(node.type, node.shape)

    def score(self, tensors: Tensor, age_sex: AgeSex | None = None) -> list[Score]:
        """Score ``(n, 1, s, s)`` uint8 tensors; one ``Score`` a film, in order. May hold non-finite values.

        Safe to call from several threads.

        ``age_sex`` is ``(n, 2)`` float32 of the same films, NaN where unknown, for a bundle that takes it; without it
        nothing is known of any.

        Raises
        ------
        InferenceError
            If the runtime fails (out of memory, say; retryable), or age and sex do not belong to these films.
        """
        answers = self._network.run([output.name for output in self._outputs], feed(self.manifest, tensors, age_sex))
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

    def batch_memory(self, films: int) -> Tensor:
        """Return ``(films, 1, s, s)`` uint8 memory to put batches together in, its content undefined."""
        size = self.manifest.preprocessing.size
        return batch_memory(self.provider, (films, 1, size, size))

    def verify_golden(self) -> None:
        """Score the bundle's golden inputs again, before anything is served: one by one, and together.

        Raises
        ------
        BundleCorrupt
            If one differs from the manifest by more than its tolerance, or by more than the precision deserves where
            that is more: this machine would give other results than the one that certified the thresholds.
        """
        tolerance = golden_tolerance(self.precision, self.manifest.golden_tolerance)
        expected = self.manifest.golden_probabilities
        for index, actual in self._golden_probabilities():
            if not abs(actual - expected[index]) <= tolerance:
                raise BundleCorrupt(
                    f"golden input {index} of {self.manifest.name} scores {actual:.6f} here in {self.precision}, "
                    f"{expected[index]:.6f} in its manifest"
                )

    def _golden_probabilities(self) -> Iterator[tuple[int, float]]:
        tensors, age_sex = self._golden
        count = len(self.manifest.golden_probabilities)
        for block in (*(slice(index, index + 1) for index in range(count)), slice(0, min(count, self._largest_batch))):
            scores = self.score(tensors[block], None if age_sex is None else age_sex[block])
            for index, score in enumerate(scores, start=block.start):
                yield index, score.probability
