"""How many cores there are for this process, which may be fewer than the machine has. Knows nothing else."""

from __future__ import annotations

import math
import os
import re
from contextlib import suppress
from pathlib import Path
from typing import Final

_CONTROL_GROUPS: Final = Path("/sys/fs/cgroup")
_MEMBERSHIP: Final = Path("/proc/self/cgroup")


def cores(control_groups: Path = _CONTROL_GROUPS, membership: Path = _MEMBERSHIP) -> int:
    """Return how many cores this process may use: those it is bound to, or fewer where its control group has a quota.

    ``docker --cpus`` and the limits of Kubernetes are such quotas (cgroup v2, ``cpu.max``): as many threads as the
    machine has cores would use one up in the first milliseconds of each period, and stand still for the rest.
    """
    bound = len(os.sched_getaffinity(0))
    with suppress(OSError, ValueError):  # no cgroup v2, or no quota: then it says "max"
        for group in re.findall("^0::/(.*)$", membership.read_text(encoding="utf-8"), re.MULTILINE):
            quota, period = (control_groups / group / "cpu.max").read_text(encoding="ascii").split()
            return min(bound, max(1, math.ceil(int(quota) / int(period))))
    return bound
