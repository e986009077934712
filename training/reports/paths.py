"""Dotted paths into ``report.json`` and ``sweep.json``: ``runs."epochs=40".test.half.accuracy``.

A part names a key of a table, or in a list the entry whose ``name`` or ``finding`` it is, or
with ``-1`` the last; a part with dots is quoted.
"""

from __future__ import annotations

import re
from typing import Any

_PART = re.compile(r'"([^"]+)"|([^."]+)')
_NAMES = ("name", "finding")
_LAST = "-1"


def parts_of(path: str) -> tuple[str, ...]:
    """Return the parts of a path."""
    return tuple(quoted or plain for quoted, plain in _PART.findall(path))


def pick(document: Any, path: str) -> Any:
    """Return what a path leads to.

    Raises
    ------
    KeyError
        If a part is not there; its argument is the path as far as it leads, that part included.
    """
    here, walked = document, []
    for part in parts_of(path):
        walked.append(part)
        if isinstance(here, list):
            entries = {entry[key]: entry for entry in here for key in _NAMES if key in entry}
            here = here[-1] if part == _LAST and here else entries.get(part)
            if here is None:
                raise KeyError(".".join(walked))
        elif isinstance(here, dict) and part in here:
            here = here[part]
        else:
            raise KeyError(".".join(walked))
    return here
