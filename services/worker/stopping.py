"""How a worker is told to stop, and how it ends where something does not let it. Must not know films."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from typing import Final

from services.worker.heartbeat import EXIT_HUNG

_LAST_WORDS_SECONDS: Final = 5.0


def stop_on_signals() -> asyncio.Event:
    """Return what SIGTERM and SIGINT set from now on; until now they ended the process."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return stop


def end_soon() -> None:
    """Let Python say what went wrong and end, unless it waits for a thread that does not."""
    last_word = threading.Timer(_LAST_WORDS_SECONDS, os._exit, [EXIT_HUNG])
    last_word.daemon = True
    last_word.start()
