"""The worker's own port: ``/metrics``, ``/health/live`` and ``/health/ready``, from a thread of its own.

Answers also while the event loop is busy. Must not know films; the three answers carry no ids.
"""

from __future__ import annotations

import logging
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final

from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, generate_latest

from services.worker import metrics
from services.worker.errors import PortTaken

logger = logging.getLogger(__name__)

_CLIENT_SECONDS: Final = 5.0
_CLOSE_SECONDS: Final = 0.1
_TEXT: Final = "text/plain; charset=utf-8"


class Readiness:
    """Whether this worker may be counted on: bundle verified and golden inputs re-scored, children warm, Redis there.

    The first three hold before jobs are taken, so that two facts remain to be told. Thread-safe, since each is one
    assignment. A change of Redis' state is logged here, once, whoever noticed it.
    """

    def __init__(self) -> None:
        self._is_started = False
        self._is_queue_reachable: bool | None = None

    @property
    def is_ready(self) -> bool:
        """Whether films sent now are worked on now."""
        return self._is_started and self._is_queue_reachable is True

    def set_started(self, is_started: bool) -> None:
        """Say whether the worker takes jobs."""
        self._is_started = is_started
        metrics.READY.set(self.is_ready)

    def set_queue_reachable(self, is_reachable: bool) -> None:
        """Say whether the last call to Redis was answered."""
        if is_reachable is self._is_queue_reachable:
            return
        self._is_queue_reachable = is_reachable
        metrics.READY.set(self.is_ready)
        if is_reachable:
            logger.info("queue reachable", extra={"action": "queue_reachable"})
        else:
            logger.warning("queue unavailable, waiting for it", extra={"action": "queue_unavailable"})


class ProbeServer:
    """Serves until closed. ``port`` is the one that was bound, also where 0 was asked for.

    Raises
    ------
    PortTaken
        If the address cannot be bound.
    """

    def __init__(self, readiness: Readiness, *, host: str, port: int) -> None:
        class Handler(_ProbeHandler):
            is_ready = property(lambda _: readiness.is_ready)

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

    def do_GET(self) -> None:
        """Answer one probe; the method's name is http.server's."""
        match self.path.partition("?")[0]:
            case "/metrics":
                self._answer(HTTPStatus.OK, CONTENT_TYPE_LATEST, generate_latest(REGISTRY))
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
