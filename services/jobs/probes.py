"""A process' own port: ``/metrics``, ``/health/live`` and ``/health/ready``, from a thread of its own.

For the processes that serve no HTTP besides: worker, DIMSE listener, delivery. Answers also while the event loop is
busy. Must not know films; the three answers carry no ids.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final

from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, generate_latest

from services.jobs.errors import PortTaken

logger = logging.getLogger(__name__)

_CLIENT_SECONDS: Final = 5.0
_CLOSE_SECONDS: Final = 0.1
_TEXT: Final = "text/plain; charset=utf-8"


class Readiness:
    """Whether this process may be counted on: it has started its work, and Redis answers.

    What has to hold before the work starts (a worker's bundle verified, its children warm) is no fact of its own.
    Thread-safe, since each is one assignment. A change of Redis' state is logged here, once, whoever noticed it.

    Parameters
    ----------
    show
        Called with the new state at each change; the process' gauge.
    """

    def __init__(self, show: Callable[[bool], object] = lambda _: None) -> None:
        self._show = show
        self._is_started = False
        self._is_queue_reachable: bool | None = None

    @property
    def is_ready(self) -> bool:
        """Whether what comes now is worked on now."""
        return self._is_started and self._is_queue_reachable is True

    def set_started(self, is_started: bool) -> None:
        """Say whether the process does its work."""
        self._is_started = is_started
        self._show(self.is_ready)

    def set_queue_reachable(self, is_reachable: bool) -> None:
        """Say whether the last call to Redis was answered."""
        if is_reachable is self._is_queue_reachable:
            return
        self._is_queue_reachable = is_reachable
        self._show(self.is_ready)
        if is_reachable:
            logger.info("queue reachable", extra={"action": "queue_reachable"})
        else:
            logger.warning("queue unavailable, waiting for it", extra={"action": "queue_unavailable"})


class ProbeServer:
    """Serves until closed. ``port`` is the one that was bound, also where 0 was asked for.

    ``registry`` holds what /metrics says; the process-wide one has figures of the process itself.

    Raises
    ------
    PortTaken
        If the address cannot be bound.
    """

    def __init__(self, readiness: Readiness, *, host: str, port: int, registry: CollectorRegistry = REGISTRY) -> None:
        class Handler(_ProbeHandler):
            is_ready = property(lambda _: readiness.is_ready)
            metrics = property(lambda _: generate_latest(registry))

        try:
            self._server = ThreadingHTTPServer((host, port), Handler)
        except OSError as error:
            raise PortTaken(f"cannot serve metrics on {host}:{port}: {error.strerror}") from error
        self._server.daemon_threads = True
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": _CLOSE_SECONDS}, name="probes", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """Stop answering."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _ProbeHandler(BaseHTTPRequestHandler):
    timeout = _CLIENT_SECONDS
    is_ready: bool | property
    metrics: bytes | property

    def do_GET(self) -> None:
        """Answer one probe; the method's name is http.server's."""
        match self.path.partition("?")[0]:
            case "/metrics":
                self._answer(HTTPStatus.OK, CONTENT_TYPE_LATEST, self.metrics)
            case "/health/live":
                self._answer(HTTPStatus.OK, _TEXT, b"alive\n")
            case "/health/ready" if self.is_ready:
                self._answer(HTTPStatus.OK, _TEXT, b"ready\n")
            case "/health/ready":
                self._answer(HTTPStatus.SERVICE_UNAVAILABLE, _TEXT, b"not ready\n")
            case _:
                self._answer(HTTPStatus.NOT_FOUND, _TEXT, b"not found\n")

    def _answer(self, status: HTTPStatus, content_type: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is http.server's
        """Log nothing: probes come every few seconds, and a request line is the caller's text."""
