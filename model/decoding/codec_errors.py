"""The wall around foreign decoders: whatever they raise on damaged bytes becomes one error. Knows no codec."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from model.decoding.source import corrupt
from model.errors import ImageError


@contextmanager
def codec_wall() -> Iterator[None]:
    """Turn whatever a codec raises on damaged bytes into ``CorruptImage``; memory errors pass."""
    try:
        yield
    except (MemoryError, ImageError):
        raise
    except Exception as error:  # each codec has an error class of its own, and some raise ValueError or TypeError
        raise corrupt(f"the codec failed: {type(error).__name__}") from error
