"""What a power cut does to Redis' append-only file: its tail never reached the disk."""

from __future__ import annotations

import os
from pathlib import Path


def chop_tail(redis_directory: Path, share: float) -> int:
    """Cut so much off the end of the last append-only file of a stopped Redis; return how many bytes went."""
    # Redis 7 keeps several parts in a folder of its own, of which the last is written to.
    parts = sorted((redis_directory / "appendonlydir").glob("*.incr.aof"), key=lambda part: part.stat().st_mtime)
    last = parts[-1] if parts else redis_directory / "appendonly.aof"
    size = last.stat().st_size
    kept = int(size * (1 - share))
    os.truncate(last, kept)
    return size - kept
