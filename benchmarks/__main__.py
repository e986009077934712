"""``make bench``: every part in turn, each a process of its own, then the page, then what follows from it.

A part that fails does not stop others.
"""

from __future__ import annotations

import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

from rich.console import Console

from benchmarks.environments import EnvironmentUnavailable, own_environment
from benchmarks.family import adopt_orphans, end_in_order, end_what_was_started, run_to_its_end
from benchmarks.machine import machine_facts
from benchmarks.results import ROOT, PartOptions, part_options

# In this order: the GPU's rows need what decoding costs.
PARTS: Final = ("decoding", "resolution", "model_limit", "cost", "worker", "depth", "scaling", "page", "peers", "gpu")


def main() -> int:
    """Run the parts and write the page; return how many parts failed."""
    adopt_orphans()
    end_in_order()
    options, console = part_options(__doc__), Console(stderr=True)
    flags = ["--directory", str(options.directory), *(["--quick"] if options.is_quick else [])]
    failed = []
    for part in PARTS:
        # What an earlier run found must not stand for what this one could not.
        (options.directory / f"{part}.json").unlink(missing_ok=True)
        began = time.monotonic()
        command = [str(_python(part, options)), "-m", f"benchmarks.{part}", *flags]
        status = run_to_its_end(command, cwd=ROOT)
        console.print(f"{part}: {time.monotonic() - began:.0f} s, exit status {status}")
        if status:
            failed.append(part)
    # Capacity is computed from the page that the report writes.
    for page, told in (("report", flags), ("capacity", [])):
        if run_to_its_end([sys.executable, "-m", f"benchmarks.{page}", *told], cwd=ROOT):
            failed.append(page)
    if failed:
        console.print(f"failed: {', '.join(failed)}", style="red")
    return len(failed)


def _python(part: str, options: PartOptions) -> Path:
    """Return who runs a part: a GPU needs another build of onnxruntime than the one beside the other parts."""
    if part == "gpu" and machine_facts().gpus:
        with suppress(EnvironmentUnavailable):  # the part then says that there is no CUDA
            return own_environment("gpu", "bench", directory=options.directory)
    return Path(sys.executable)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("interrupted; parts that were done are kept")
    finally:
        end_what_was_started()
