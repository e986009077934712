"""Walks films from bytes to tensor in a process of 2 GiB, one JSON line each: ``python -m tests.support.limited_walk``.

Paths come on standard input, one a line. Used on hostile files, which must not take the test process with them.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path

from model.decoding.decode import decode
from model.decoding.inspect import inspect_header
from model.errors import ImageError
from model.gate import GateSpec, gate_header, gate_image
from model.preprocessing import PreprocessingSpec, preprocess

ADDRESS_SPACE_BYTES = 2 * 1024**3


def walk(path: Path) -> str:
    """Return ``scored``, or the error's class and reason."""
    try:
        header = inspect_header(path)
        gate_header(header, GateSpec())
        image = decode(path, header)
        gate_image(image, header)
        preprocess(image, PreprocessingSpec(size=224))
    except ImageError as error:
        return f"{type(error).__name__} {error.reason}"
    return "scored"


def main() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE_BYTES, ADDRESS_SPACE_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for line in sys.stdin:
        path = Path(line.rstrip("\n"))
        began = time.process_time()
        outcome = walk(path)
        seconds = time.process_time() - began
        print(json.dumps({"path": str(path), "outcome": outcome, "seconds": seconds}), flush=True)


if __name__ == "__main__":
    main()
