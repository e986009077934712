"""The Lua scripts, loaded from the package and ready to be called.

Every file is preceded by the names of ``keys.py``, so that Python and Lua cannot differ in them, and by ``PARTS``.
Place in the walk: below the queue, which gives the replies their meaning.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib.resources import files

from services.jobs import keys

CONSTANTS = (
    *("TAG", "GROUP", "OPEN", "RETRY", "DEAD", "EVENTS", "REVISION", "WORKERS", "SHARE", "REPLIES", "SITES"),
    *("OPEN_BYTES", "OPEN_OF_SITE", "LEDGER_DUE", "LEDGER_HEADS", "BUNDLE", "POLICIES", "TABLES", "SETTLED"),
    *("DELIVER_TARGETS", "DELIVER_KNOWN", "DELIVER_DISABLED"),
)

# What every script may call, in the order in which each may call the ones before it.
PARTS = ("shared", "rollup", "deliveries", "open_films", "withdrawal", "readings")


@cache
def text_of(name: str) -> str:
    """Return the text of one file, as it lies in the package."""
    return (files("services.jobs") / "scripts" / f"{name}.lua").read_text(encoding="utf-8")


def source(name: str, *, text: Callable[[str], str] = text_of) -> str:
    """Return the whole text of a script: constants, parts, the step itself; ``text`` gives that of each file."""
    constants = "\n".join(f"local {constant} = '{getattr(keys, constant)}'" for constant in CONSTANTS)
    return "\n".join([constants, *(text(part) for part in (*PARTS, name))])


NAMES = tuple(
    sorted(
        entry.name.removesuffix(".lua")
        for entry in (files("services.jobs") / "scripts").iterdir()
        if entry.name.endswith(".lua") and entry.name.removesuffix(".lua") not in PARTS
    )
)
