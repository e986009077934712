"""``python -m services.dimse``: settings, logging, socket, then take films until told to stop.

Exit codes: 0 stopped as asked; 2 could not start, with one line on stderr; 70 failed.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from importlib.util import find_spec
from typing import Final

from services.dicom.errors import DicomExtraMissing
from services.dimse.errors import DimseError, ListenerEnded
from services.jobs.errors import JobsError
from services.jobs.logs import configure_logging

logger = logging.getLogger("services.dimse")

EXIT_CANNOT_START: Final = 2
EXIT_FAILED: Final = 70


def main() -> int:
    """Run a listener; return its exit code."""
    try:
        if find_spec("pynetdicom") is None:
            raise DicomExtraMissing("pynetdicom is not installed; pip install 'cxr-triage[dicom]'")
        # Imported here: without the extra there is a line to say before.
        from services.dimse.application import serve
        from services.dimse.configuration import Configuration

        configuration = Configuration.load()
        configure_logging(configuration.dimse.log_format, "dimse")
        asyncio.run(serve(configuration))
    except (JobsError, DimseError, DicomExtraMissing) as error:
        print(f"cxr-triage dimse: {error.code}: {error}", file=sys.stderr)
        return EXIT_FAILED if isinstance(error, ListenerEnded) else EXIT_CANNOT_START
    except Exception:  # the process' outermost guard: class and place are logged, no library's text
        logger.exception("dimse listener failed", extra={"action": "dimse_failed"})
        return EXIT_FAILED
    return 0


if __name__ == "__main__":
    sys.exit(main())
