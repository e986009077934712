"""Under which faults each alert fires, and what it must keep silent at: the healthy installation with some changes.

Each alert has a fault a little beyond its threshold and a calm a little before it, so that moving the threshold by a
factor of two is noticed. All alerts but a fault's own, and those that it cannot but raise ``also``, are silent in it.
"""

from __future__ import annotations

from itertools import chain
from typing import Final

from tests.support.alert_faults.callers import CALLERS, CONNECTIONS
from tests.support.alert_faults.case import Case
from tests.support.alert_faults.films import FILMS, SIGHT
from tests.support.alert_faults.models import MODELS
from tests.support.alert_faults.processes import DURABILITY, WORKERS

CASES: Final[tuple[Case, ...]] = tuple(chain(SIGHT, FILMS, WORKERS, DURABILITY, CALLERS, MODELS, CONNECTIONS))
