"""Which inputs a bundle's manifest names, and what the graph must take them as. Below ``runtime``, which feeds them.

Must not know onnxruntime, nor where a film, an age or a sex came from.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from model.demographics import AgeSex, unknown_age_sex
from model.errors import BundleIncompatible, InferenceError
from model.image import Tensor
from model.manifest import Manifest


class Declared(Protocol):
    """An input as onnxruntime describes it."""

    @property
    def type(self) -> str:
        """Element type, such as ``tensor(uint8)``."""

    @property
    def shape(self) -> Sequence[object]:
        """Sides, the batch first: a length, or a name or ``None`` where the graph leaves it open."""


@dataclass(frozen=True)
class Input:
    """An input that the manifest names; ``shape`` is one film's."""

    name: str
    element_type: str
    shape: tuple[int, ...]

    def check_declared(self, declared: Declared) -> None:
        """Raise ``BundleIncompatible`` unless the graph declares ``element_type`` ``(n, *shape)``, ``n`` left open.

        A graph for one film at a time would pass its golden films, which are scored one by one, and fail with every
        batch.
        """
        films, sides = declared.shape[:1], declared.shape[1:]
        is_open_or_equal = len(sides) == len(self.shape) and all(
            not isinstance(actual, int) or actual == wanted for actual, wanted in zip(sides, self.shape, strict=True)
        )
        is_for_any_number = len(films) == 1 and not isinstance(films[0], int)
        if declared.type != self.element_type or not is_for_any_number or not is_open_or_equal:
            wanted = ", ".join(str(side) for side in ("n", *self.shape))
            raise BundleIncompatible(
                f"model.onnx takes '{self.name}' as {declared.type} {list(declared.shape)}, "
                f"the manifest says {self.element_type} ({wanted})"
            )


def inputs_of(manifest: Manifest) -> list[Input]:
    """Return the inputs that the graph must have, no more and no fewer: the film, then age and sex where it asks."""
    size = manifest.preprocessing.size
    inputs = [Input(manifest.input_name, "tensor(uint8)", (1, size, size))]
    if manifest.age_sex_input_name is not None:
        inputs.append(Input(manifest.age_sex_input_name, "tensor(float)", (2,)))
    return inputs


def check_inputs(manifest: Manifest, declared: Mapping[str, Declared]) -> None:
    """Raise ``BundleIncompatible`` unless the graph takes what the manifest names, and nothing else."""
    wanted = inputs_of(manifest)
    names = [one.name for one in wanted]
    if sorted(declared) != sorted(names):
        raise BundleIncompatible(f"model.onnx takes the inputs {sorted(declared)}, the manifest says {sorted(names)}")
    for one in wanted:
        one.check_declared(declared[one.name])


def feed(manifest: Manifest, tensors: Tensor, age_sex: AgeSex | None) -> dict[str, Tensor | AgeSex]:
    """Return what the graph is fed for ``(n, 1, s, s)`` uint8 films, by input name.

    Where the manifest names an input for age and sex, ``None`` means that nobody said anything of any patient.

    Raises
    ------
    InferenceError
        If age and sex are not ``(n, 2)`` float32, or are given to a network that does not take them: rows that do not
        belong to the films must never be broadcast over them.
    """
    fed: dict[str, Tensor | AgeSex] = {manifest.input_name: tensors}
    name = manifest.age_sex_input_name
    if name is None:
        if age_sex is not None:
            raise InferenceError(f"{manifest.name} takes neither age nor sex, and was given them")
        return fed
    rows = unknown_age_sex(len(tensors)) if age_sex is None else age_sex
    if rows.shape != (len(tensors), 2) or rows.dtype != np.float32:
        raise InferenceError(f"age and sex of {len(tensors)} films came as {rows.dtype}{rows.shape}")
    return fed | {name: rows}
