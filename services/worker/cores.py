"""How many cores there are for this process, which may be fewer than the machine has. Knows nothing else."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Final

_CONTROL_GROUPS: Final = Path("/sys/fs/cgroup")
_MEMBERSHIP: Final = Path("/proc/self/cgroup")


def cores(control_groups: Path = _CONTROL_GROUPS, membership: Path = _MEMBERSHIP) -> int:
    """Return how many cores this process may use: those it is bound to, or fewer where a control group has a quota.

    ``docker --cpus`` and the limits of Kubernetes are such quotas (cgroup v2, ``cpu.max``): as many threads as the
    machine has cores would use one up in the first milliseconds of each period, and stand still for the rest. A quota
    holds for all groups below it (Documentation/admin-guide/cgroup-v2.rst), so the smallest on the way up counts.
    """
    return min([len(os.sched_getaffinity(0)), *_quotas(control_groups, membership)])


def _quotas(control_groups: Path, membership: Path) -> Iterator[int]:
    """Yield the cores that this process' group and each group above it are allowed, where they have a quota."""
    with suppress(OSError):  # no control groups at all
        for own in re.findall("^0::/(.*)$", membership.read_text(encoding="utf-8"), re.MULTILINE):
            # A container may know its group by a name that leads nowhere there; its root is then what it sees.
            for group in (PurePosixPath(own), *PurePosixPath(own).parents):
                with suppress(OSError, ValueError):  # no such group, none with limits, or no quota: then it says "max"
                    quota, period = (control_groups / group / "cpu.max").read_text(encoding="ascii").split()
                    yield max(1, math.ceil(int(quota) / int(period)))
