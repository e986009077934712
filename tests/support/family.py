"""How much memory a process and its descendants take, while something happens."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import psutil

_EVERY_SECONDS: Final = 0.02
MEBIBYTE: Final = 1024**2


@dataclass
class Memory:
    """The most that was seen: ``own_bytes`` of the process, ``descendant_bytes`` of any one below it."""

    own_bytes: int = 0
    descendant_bytes: int = 0


@contextmanager
def watched_memory(pid: int) -> Iterator[Memory]:
    """Look at resident memory often, for as long as the block takes."""
    seen, is_over = Memory(), threading.Event()
    process = psutil.Process(pid)
    thread = threading.Thread(target=_watch, args=(process, seen, is_over), daemon=True)
    thread.start()
    try:
        yield seen
    finally:
        is_over.set()
        thread.join()


def _watch(process: psutil.Process, seen: Memory, is_over: threading.Event) -> None:
    while not is_over.is_set():
        seen.own_bytes = max(seen.own_bytes, _resident_bytes(process))
        below = process.children(recursive=True) if process.is_running() else []
        seen.descendant_bytes = max([seen.descendant_bytes, *map(_resident_bytes, below)])
        is_over.wait(_EVERY_SECONDS)


def _resident_bytes(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.NoSuchProcess:
        return 0
