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
from services.jobs.settings import RedisSettings, SpoolSettings, WorkerSettings, load_settings
from services.worker.application import load_bundle, serve
from services.worker.errors import WorkerError
from services.worker.heartbeat import EXIT_HUNG

logger = logging.getLogger("services.worker")

EXIT_CANNOT_START = 2


def main() -> int:
    """Run a worker; return its exit code."""
    try:
        settings = load_settings(WorkerSettings)
        redis_settings = load_settings(RedisSettings)
        spool_settings = load_settings(SpoolSettings)
        configure_logging(settings.log_format, "worker")
        served = load_bundle(settings)
        asyncio.run(serve(served, settings=settings, redis_settings=redis_settings, spool_settings=spool_settings))
    except (ModelError, JobsError, WorkerError) as error:
        print(f"cxr-triage worker: {error.code}: {error}", file=sys.stderr)
        return EXIT_CANNOT_START
    except Exception:  # the process' outermost guard: class and place are logged, no library's text
        logger.exception("worker failed", extra={"action": "worker_failed"})
        return EXIT_HUNG
    return 0


if __name__ == "__main__":
    sys.exit(main())
