"""Which outputs of a graph a bundle's manifest names, and what each must look like. Below ``runtime``, which asks them.

Must not know onnxruntime, nor what becomes of an answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto

import numpy as np
from numpy.typing import NDArray

from model.bundle import Bundle
from model.errors import BundleIncompatible, InferenceError


class Role(Enum):
    """What an output of the graph is to a ``Score``."""

    PROBABILITY = auto()
    FINDINGS = auto()
    ACTIVATION = auto()
    EMBEDDING = auto()


@dataclass(frozen=True)
class Output:
    """An output that the manifest names; ``shape`` is one film's, ``None`` where the graph is free to choose."""

    role: Role
    name: str
    shape: tuple[int | None, ...]

    def check_declared(self, element_type: str, shape: Sequence[object]) -> None:
        """Raise ``BundleIncompatible`` unless the graph, in onnxruntime's words, declares float32 ``(n, *shape)``."""
        if element_type != "tensor(float)" or not self._fits(shape[1:]):
            wanted = ", ".join(str(side or "any") for side in ("n", *self.shape))
            raise BundleIncompatible(
                f"model.onnx answers '{self.name}' as {element_type} {list(shape)}; it must be float32 ({wanted})"
            )

    def check_answer(self, answer: NDArray[np.float32], *, films: int) -> None:
        """Raise ``InferenceError`` unless the graph answered what it declared, for so many films."""
        if len(answer) != films or not self._fits(answer.shape[1:]):
            raise InferenceError(f"the network answered '{self.name}' for another number of films or in another shape")

    def _fits(self, shape: Sequence[object]) -> bool:
        # A side that the graph leaves open is a name or None; only the answer shows its length.
        return len(shape) == len(self.shape) and all(
            wanted is None or not isinstance(actual, int) or actual == wanted
            for actual, wanted in zip(shape, self.shape, strict=True)
        )


def outputs_of(bundle: Bundle) -> list[Output]:
    """Return the outputs to ask the graph for: the probability first, then what the manifest names besides.

    Raises
    ------
    BundleIncompatible
        If the manifest has gate statistics, but their arrays are missing.
    """
    manifest = bundle.manifest
    outputs = [Output(Role.PROBABILITY, manifest.output_name, ())]
    if manifest.findings_output_name is not None:
        outputs.append(Output(Role.FINDINGS, manifest.findings_output_name, (len(manifest.labels),)))
    if manifest.explanation is not None:
        outputs.append(Output(Role.ACTIVATION, manifest.explanation.output_name, (None, None)))
    if manifest.gate is not None:
        if bundle.gate is None:
            raise BundleIncompatible("the manifest has gate statistics, but the bundle was read without their arrays")
        outputs.append(Output(Role.EMBEDDING, manifest.gate.output_name, (len(bundle.gate.mean),)))
    return outputs
