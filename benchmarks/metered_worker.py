"""A worker of the product that also writes down what each of its threads has cost.

``python -m benchmarks.metered_worker`` writes into the file that ``$TRIAGE_BENCH_THREADS`` names, a few times a second;
``benchmarks.worker`` reads it.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from pathlib import Path
from typing import Final

from services.worker.__main__ import main

THREADS_VARIABLE: Final = "TRIAGE_BENCH_THREADS"
_EVERY_SECONDS: Final = 0.2
_RUNTIME: Final = "runtime"  # threads that Python does not know: onnxruntime's


def thread_seconds() -> dict[str, float]:
    """Return the processor time of each thread of this process since it began, by name."""
    named = {
        thread.name: time.clock_gettime(time.pthread_getcpuclockid(thread.ident))
        for thread in threading.enumerate()
        if thread.ident is not None
    }
    return named | {_RUNTIME: time.process_time() - sum(named.values())}


def _tell(path: Path) -> None:
    draft = path.with_suffix(".draft")
    while True:
        draft.write_text(json.dumps(thread_seconds()), encoding="ascii")
        draft.replace(path)
        time.sleep(_EVERY_SECONDS)


if __name__ == "__main__":
    told = Path(os.environ[THREADS_VARIABLE])
    threading.Thread(target=_tell, args=(told,), name="meter", daemon=True).start()
    sys.exit(main())
