"""What a machine says of itself, as every part's result has it: the facts of ``cxr-triage bench``, and who may compute.

Figures of two machines are compared as ratios; the facts say why the figures themselves differ.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from services.bench.machine import MachineFacts, machine_facts, package_versions

__all__ = ["MachineFacts", "first_cores", "machine_facts", "package_versions", "pinned"]


@contextmanager
def pinned(cores: Sequence[int] | None) -> Iterator[None]:
    """Keep this process, and whatever it starts in the block, to these cores; ``None`` leaves it all of them.

    What was started stays there after the block.
    """
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, before if cores is None else cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def first_cores(count: int) -> list[int]:
    """Return so many of the cores that this process may use, or all where there are fewer."""
    return sorted(os.sched_getaffinity(0))[:count]
