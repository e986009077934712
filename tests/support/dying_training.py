"""``cxr-train`` in a process that is killed once a checkpoint is on the disk: its name first, then as ever."""

from __future__ import annotations

import os
import signal
import sys
from typing import Any
from unittest import mock

from training.checkpoint import Checkpoints
from training.cli import main

if __name__ == "__main__":
    last, sys.argv[1:] = sys.argv[1], sys.argv[2:]
    write = Checkpoints.write

    def write_and_die(self: Checkpoints, name: str, state: Any) -> None:
        """Write as ever; of the last one the writer does not return."""
        write(self, name, state)
        if name == last:
            os.kill(os.getpid(), signal.SIGKILL)

    with mock.patch.object(Checkpoints, "write", write_and_die):
        main()
