"""How a loop is compiled: for given types only, when its module is imported, once for each machine where that can be.

Only modules that processes opening films import may import this one: it loads numba.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any, Final, TypeVar, cast

from numba import njit

Loop = TypeVar("Loop", bound=Callable[..., Any])

# What numba's cache raises: no directory is writable (RuntimeError), the disk is full, or what lies there is damaged.
_CACHE_FAILURES: Final = (
    *(OSError, RuntimeError, EOFError, ValueError, pickle.PickleError),
    *(LookupError, AttributeError, ImportError, TypeError),
)


def compiled(*signatures: Any) -> Callable[[Loop], Loop]:
    """Compile a loop for these numba signatures and no others; a call with other types raises ``TypeError``.

    Nothing is compiled later, so that a process may give up its files once the module is loaded. Calls release
    Python's lock. numba keeps the machine code beside the source (``__pycache__``) or in the user's cache directory; a
    cache that cannot be used costs time, nothing else.
    """

    def compile_now(loop: Loop) -> Loop:
        try:
            return cast(Loop, njit(list(signatures), cache=True, nogil=True)(loop))
        except _CACHE_FAILURES:
            return cast(Loop, njit(list(signatures), nogil=True)(loop))

    return compile_now
