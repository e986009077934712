"""How far a served probability may lie from the exported one, and what certified thresholds give way for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

# Largest difference on golden inputs, on another processor or execution provider, by variant. Rounding to eight bits
# enlarges tiny differences between machines; what was measured is in docs/training.md.
GOLDEN_TOLERANCE: Final[Mapping[str, float]] = {"fp32": 1e-3, "int8": 5e-3}

# By how much certified thresholds are lowered: a lower threshold only flags more. fp32 differs between processors in
# its last digits; int8 moves single films by most of its tolerance.
CERTIFIED_MARGIN: Final[Mapping[str, float]] = {"fp32": 0.0, "int8": GOLDEN_TOLERANCE["int8"]}

# No threshold lies above this. Films of log-odds beyond 17 all have the float32 probability 1, and a processor that
# divides a little differently gives all of them 0.9999999: at a threshold of 1 they would be missed together.
HIGHEST_THRESHOLD: Final = 1 - 1e-6
