"""How a loop is compiled: for given types only, when its module is imported, once for each machine where that can be.

Only modules that processes opening films import may import this one: it loads numba.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any, Final, TypeVar, cast

from numba import config, njit

# What is kept is machine code and pickles, and numba would also take them from ``NUMBA_CACHE_DIR`` or the home
# directory, where others may write. Whoever can write beside the source can change the source.
config.CACHE_LOCATOR_CLASSES = "InTreeCacheLocator"  # type: ignore[attr-defined]  # numba sets its settings by name

Loop = TypeVar("Loop", bound=Callable[..., Any])

# What numba's cache raises: its directory is not writable (RuntimeError), the disk is full, what lies there is damaged.
_CACHE_FAILURES: Final = (
    *(OSError, RuntimeError, EOFError, ValueError, pickle.PickleError),
    *(LookupError, AttributeError, ImportError, TypeError),
)


def compiled(*signatures: Any) -> Callable[[Loop], Loop]:
    """Compile a loop for these numba signatures and no others; a call with other types raises ``TypeError``.

    Nothing is compiled later, so that a process may give up its files once the module is loaded. Calls release
    Python's lock. numba keeps the machine code beside the source (``__pycache__``) and nowhere else; a cache that
    cannot be used costs time, nothing else.
    """

    def compile_now(loop: Loop) -> Loop:
        try:
            return cast(Loop, njit(list(signatures), cache=True, nogil=True)(loop))
        except _CACHE_FAILURES:
            return cast(Loop, njit(list(signatures), nogil=True)(loop))

    return compile_now
