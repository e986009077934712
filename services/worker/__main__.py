"""``python -m services.worker``: settings, logging, bundle, then work until told to stop.

Exit codes: 0 stopped as asked; 2 could not start, with one line on stderr; 70 hung and ended itself, or failed.
"""

from __future__ import annotations

import asyncio
import logging
import sys

from model.errors import ModelError
from services.jobs.errors import JobsError
from services.jobs.logs import configure_logging
from services.worker.application import serve
from services.worker.configuration import Configuration
from services.worker.errors import WorkerError
from services.worker.heartbeat import EXIT_HUNG
from services.worker.loading import BundleLoader

logger = logging.getLogger("services.worker")

EXIT_CANNOT_START = 2


def main() -> int:
    """Run a worker; return its exit code."""
    try:
        configuration = Configuration.load()
        configure_logging(configuration.worker.log_format, "worker")
        loader = BundleLoader(configuration.worker)
        asyncio.run(serve(loader, configuration))
    except (ModelError, JobsError, WorkerError) as error:
        print(f"cxr-triage worker: {error.code}: {error}", file=sys.stderr)
        return EXIT_CANNOT_START
    except Exception:  # the process' outermost guard: class and place are logged, no library's text
        logger.exception("worker failed", extra={"action": "worker_failed"})
        return EXIT_HUNG
    return 0


if __name__ == "__main__":
    sys.exit(main())
