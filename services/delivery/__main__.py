"""``python -m services.delivery``: settings, logging, then deliver until told to stop.

Exit codes: 0 stopped as asked; 2 could not start, with one line on stderr; 70 failed.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from typing import Final

from services.delivery.application import serve
from services.delivery.configuration import Configuration
from services.dicom.errors import ResultError
from services.jobs.errors import JobsError
from services.jobs.logs import configure_logging

logger = logging.getLogger("services.delivery")

EXIT_CANNOT_START: Final = 2
EXIT_FAILED: Final = 70
# Their lines tell of every request and every PDU; the log withholds what they say anyway.
_TALKATIVE: Final = ("httpx", "httpcore", "pynetdicom", "pydicom")


def main() -> int:
    """Run delivery; return its exit code."""
    try:
        configuration = Configuration.load()
        configure_logging(configuration.delivery.log_format, "delivery")
        for name in _TALKATIVE:
            logging.getLogger(name).setLevel(logging.ERROR)
        asyncio.run(serve(configuration))
    except (JobsError, ResultError) as error:
        print(f"cxr-triage deliver: {error.code}: {error}", file=sys.stderr)
        return EXIT_CANNOT_START
    except Exception:  # the process' outermost guard: class and place are logged, no library's text
        logger.exception("delivery failed", extra={"action": "delivery_failed"})
        return EXIT_FAILED
    # Results are given back, the trail is written, everything is closed. Python would wait for threads now, for as long
    # as a node takes that does not answer.
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main())
