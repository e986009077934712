"""``python -m services.api``: settings, logging, socket, then serve until told to stop.

Exit codes: 0 stopped as asked; 2 could not start, with one line on stderr.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from types import FrameType
from typing import Final

import uvicorn

from services.api.app import create_app
from services.api.edge import edge_protocol
from services.api.heads import EdgeLimits
from services.api.listening import host_of, inherit, listen, open_files_for
from services.jobs.errors import JobsError
from services.jobs.logs import configure_logging
from services.jobs.settings import (
    ApiSettings,
    AuditSettings,
    QueueSettings,
    RedisSettings,
    SpoolSettings,
    load_settings,
)

EXIT_CANNOT_START: Final = 2
# Longer than any page pauses between two looks: a connection made anew costs as much as the look itself.
_KEEP_ALIVE_SECONDS: Final = 20
_GRACEFUL_SECONDS: Final = 30
# Counts connections, idle dashboards too; uploads have a bound of their own (RELIABILITY.md §4).
_MOST_CONNECTIONS: Final = 4096
# Objects made and not freed between two looks for cycles; Python's default is 700.
_YOUNG_OBJECTS: Final = 5000


class Server(uvicorn.Server):
    """Uvicorn, which on a signal first answers those who wait: they would hold up the stop."""

    def __init__(self, config: uvicorn.Config, *, stop_waiting: Callable[[], None]) -> None:
        super().__init__(config)
        self._stop_waiting = stop_waiting

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Handle signals while serving. Uvicorn's own repeats them afterwards; a stop as asked must exit with 0."""
        before = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to stop."""
        self._stop_waiting()
        super().handle_exit(sig, frame)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a gateway; return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m services.api", description="The gateway.")
    parser.add_argument(
        "--fd", type=int, help="an inherited listening socket, whose address counts instead of CXR_API_HOST and _PORT"
    )
    inherited = parser.parse_args(arguments).fd
    try:
        # Who can reach us, and so whether keys are needed, is said by the socket that is served.
        given = None if inherited is None else inherit(inherited)
        api = load_settings(ApiSettings) if given is None else load_settings(ApiSettings, host=host_of(given))
        app = create_app(
            api=api,
            redis=load_settings(RedisSettings),
            spool=load_settings(SpoolSettings),
            audit=load_settings(AuditSettings),
            films=load_settings(QueueSettings),
        )
        configure_logging(api.log_format, "api")
        listener = given or listen(api.host, api.port)
    except JobsError as error:
        print(f"cxr-triage api: {error.code}: {error}", file=sys.stderr)
        return EXIT_CANNOT_START
    limits = EdgeLimits(header_seconds=api.header_seconds, connections=open_files_for(_MOST_CONNECTIONS))
    config = uvicorn.Config(
        app,
        loop="uvloop",
        http=edge_protocol(limits, app.state.gateway.metrics),
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        # Who is connected is who counts: X-Forwarded-For is whatever a caller writes there.
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=_GRACEFUL_SECONDS,
    )
    _spare_what_stays()
    Server(config, stop_waiting=app.state.gateway.stop_waiting).run(sockets=[listener])
    return 0


def _spare_what_stays() -> None:
    """Keep the garbage collector from looking through modules, routes and models, which stay until the end.

    That was a fifth of what a poll cost (docs/decisions/0038-polls.md).
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG_OBJECTS, *gc.get_threshold()[1:])


if __name__ == "__main__":
    sys.exit(main())
