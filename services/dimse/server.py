"""The listening socket and its connections: bounded in number, each with its TLS handshake in a thread of its own.

On pynetdicom's server, which would shake hands in the thread that accepts, and so let one silent connection keep all
others out. Knows no films.
"""

from __future__ import annotations

import logging
import socket
import socketserver
import ssl
import sys
import threading
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, Final

from pynetdicom.ae import ApplicationEntity
from pynetdicom.presentation import PresentationContext
from pynetdicom.transport import RequestHandler, ThreadedAssociationServer

from services.dimse.association import FilmAssociation, PatientSocket
from services.dimse.reception import BeginFilm
from services.jobs.settings import SettingsError

logger = logging.getLogger(__name__)

# An association has two threads. Connections that are rejected, or never say what they want, have them for a moment.
_THREADS_PER_ASSOCIATION: Final = 4
_OTHER_THREADS: Final = 64
_POLL_SECONDS: Final = 0.5

Handlers = Sequence[tuple[Any, Callable[..., Any]]]


@dataclass(frozen=True, kw_only=True)
class Door:
    """Where and how connections are taken."""

    host: str
    port: int
    network_seconds: float
    tls: ssl.SSLContext | None = None


class FilmServer(ThreadedAssociationServer):
    """Accepts associations, from its construction until ``close``.

    Raises
    ------
    SettingsError
        If the address is not this machine's, or the port is taken.
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(
        self,
        ae: ApplicationEntity,
        door: Door,
        *,
        contexts: list[PresentationContext],
        handlers: Handlers,
        begin_film: BeginFilm,
    ) -> None:
        self._door = door
        self._begin_film = begin_film
        self._is_stopping = False
        self._most_threads = _OTHER_THREADS + _THREADS_PER_ASSOCIATION * ae.maximum_associations
        address, own = (_resolved(door), ae.ae_title)
        try:
            super().__init__(
                ae, address, own, contexts, evt_handlers=list(handlers), request_handler=FilmRequestHandler
            )
        except OSError as error:
            raise SettingsError(f"cannot listen on {door.host} port {door.port}: {error.strerror}") from error
        self._accepting = threading.Thread(
            target=self.serve_forever, args=(_POLL_SECONDS,), name="dimse-accepting", daemon=True
        )
        self._accepting.start()

    @property
    def port(self) -> int:
        """The port that was bound, also where 0 was asked for."""
        return int(self.server_address[1])

    @property
    def is_accepting(self) -> bool:
        """Whether connections are still taken."""
        return self._accepting.is_alive()

    def close(self) -> None:
        """Take no more connections; associations go on, each to the answer that is due. Blocks for a moment."""
        self._is_stopping = True
        # Not pynetdicom's ``shutdown``: it takes the server off a list that only its own way to start one fills.
        socketserver.BaseServer.shutdown(self)
        self._accepting.join()
        self.server_close()

    def new_association(self) -> FilmAssociation:
        """Return an association that has not started."""
        return FilmAssociation(self.ae, self._begin_film, lambda: self._is_stopping)

    def socket_of(self, association: FilmAssociation, connection: socket.socket) -> PatientSocket:
        """Return what the association reads from and writes to."""
        return PatientSocket(
            association, connection, pdu_bytes=self.ae.maximum_pdu_size, seconds=self._door.network_seconds
        )

    def get_request(self) -> tuple[socket.socket, Any]:
        """Accept a connection, which waits for nothing longer than agreed."""
        assert self.socket is not None, "it is there as long as this is called"
        connection, address = self.socket.accept()
        connection.settimeout(self._door.network_seconds)
        return connection, address

    def verify_request(self, request: Any, client_address: Any) -> bool:
        """Return whether there are threads left for a connection."""
        is_room = threading.active_count() < self._most_threads
        if not is_room:
            logger.warning("too many connections", extra={"action": "connection_refused"})
        return is_room

    def finish_request(self, request: Any, client_address: Any) -> None:
        """Shake hands where TLS is spoken, and begin the association; in a thread of the connection's own."""
        if self._door.tls is not None:
            request = self._door.tls.wrap_socket(request, server_side=True)
        super().finish_request(request, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say that a connection failed; socketserver would print it, addresses and all."""
        error = sys.exc_info()[0]
        fields = {"action": "connection_failed", "error": error.__name__ if error else None}
        logger.warning("connection failed", extra=fields)


class FilmRequestHandler(RequestHandler):
    """Begins one association; as pynetdicom's, but with our association and socket."""

    server: FilmServer

    def _create_association(self) -> FilmAssociation:
        association = self.server.new_association()
        association._server = self.server
        association.name = f"AcceptorThread-{self.client_address[0]}"  # by this word pynetdicom finds its threads
        association.set_socket(self.server.socket_of(association, self.request))
        acceptor = association.acceptor
        acceptor.maximum_length = self.ae.maximum_pdu_size
        acceptor.ae_title = self.server.ae_title
        acceptor.address_info = self.local
        acceptor.implementation_class_uid = self.ae.implementation_class_uid
        acceptor.implementation_version_name = self.ae.implementation_version_name
        acceptor.supported_contexts = deepcopy(self.server.contexts)
        association.requestor.address_info = self.remote
        self._bind_handlers(association)
        return association

    def _bind_handlers(self, association: FilmAssociation) -> None:
        for event, bound in self.server._handlers.items():
            # An event that asks for an answer has one handler, an event that tells of something has a list of them.
            for handler, arguments in [bound] if isinstance(bound, tuple) else bound:
                association.bind(event, handler, arguments)


def _resolved(door: Door) -> tuple[str, int]:
    """Return the address to bind as digits: by them pynetdicom tells IPv6 from IPv4."""
    try:
        found = socket.getaddrinfo(door.host, door.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        raise SettingsError(f"CXR_DIMSE_HOST is no address and no host's name: {door.host}") from error
    host = found[0][4][0]
    return str(host), door.port
