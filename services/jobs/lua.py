"""The Lua scripts, loaded from the package and ready to be called.

Every file is preceded by ``shared.lua`` and by the names of ``keys.py``, so that Python and Lua cannot differ in them.
Place in the walk: below the queue, which gives the replies their meaning.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files

from services.jobs import keys

CONSTANTS = ("TAG", "GROUP", "OPEN", "RETRY", "DEAD", "EVENTS", "REVISION", "WORKERS", "SHARE", "REPLIES", "SITES")


@cache
def source(name: str) -> str:
    """Return the whole text of a script: constants, shared functions, the step itself."""
    directory = files("services.jobs") / "scripts"
    constants = "\n".join(f"local {constant} = '{getattr(keys, constant)}'" for constant in CONSTANTS)
    bodies = [(directory / f"{part}.lua").read_text(encoding="utf-8") for part in ("shared", name)]
    return "\n".join([constants, *bodies])


NAMES = tuple(
    sorted(
        entry.name.removesuffix(".lua")
        for entry in (files("services.jobs") / "scripts").iterdir()
        if entry.name.endswith(".lua") and entry.name != "shared.lua"
    )
)
