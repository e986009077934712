"""One association as we accept it: pynetdicom's, with bounds on what it reads and for how long."""

from __future__ import annotations

import logging
import socket
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from pynetdicom import evt
from pynetdicom._globals import MODE_ACCEPTOR
from pynetdicom.ae import ApplicationEntity
from pynetdicom.association import Association
from pynetdicom.dimse_primitives import C_ECHO, C_STORE
from pynetdicom.service_class import StorageServiceClass, VerificationServiceClass
from pynetdicom.sop_class import uid_to_service_class
from pynetdicom.transport import AssociationSocket

from services.dimse.reception import BeginFilm, Reception

if TYPE_CHECKING:
    from collections.abc import Callable

    from pynetdicom.dimse_primitives import DimseServiceType

logger = logging.getLogger(__name__)

# An association request names up to 128 presentation contexts with all their transfer syntaxes (PS3.8 9.3.2).
_REQUEST_BYTES: Final = 256 * 1024
# PS3.8 D.1 bounds the fragments; a PDU has its items' heads besides.
_PDU_OVERHEAD_BYTES: Final = 4096
_SERVICES: Final = {C_ECHO: VerificationServiceClass, C_STORE: StorageServiceClass}


class PatientSocket(AssociationSocket):
    """A socket that reads no PDU longer than agreed, and waits for none for ever.

    pynetdicom's waits without end, for up to 4 GiB, so that a sender that stops in the middle of a PDU would hold the
    association's threads until the process ends.
    """

    def __init__(self, association: Association, connection: socket.socket, *, pdu_bytes: int, seconds: float) -> None:
        super().__init__(association, client_socket=connection)
        self._most_bytes = max(pdu_bytes + _PDU_OVERHEAD_BYTES, _REQUEST_BYTES)
        self._seconds = seconds

    def recv(self, nr_bytes: int) -> bytearray:
        """Return so many bytes, or fewer where the connection ended.

        Raises
        ------
        OSError
            If they are too many, or do not come in time; pynetdicom takes either for the end of the connection.
        """
        if nr_bytes > self._most_bytes:
            raise ConnectionAbortedError("a PDU longer than agreed")
        connection = self.socket
        if connection is None:
            return bytearray()
        received, got, due = bytearray(nr_bytes), 0, time.monotonic() + self._seconds
        with memoryview(received) as room:
            while got < nr_bytes:
                connection.settimeout(max(due - time.monotonic(), 0.001))
                arrived = connection.recv_into(room[got:])
                if not arrived:
                    break
                got += arrived
        connection.settimeout(self._seconds)  # for what is sent next
        return received[:got]

    def _shutdown_socket(self) -> None:
        """Close the connection; pynetdicom's leaves it open where the sender was first."""
        connection = self.socket
        if connection is not None:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()


class FilmEntity(ApplicationEntity):
    """Our application entity, which counts the associations that have a place and not every connection."""

    def __init__(self, ae_title: str) -> None:
        super().__init__(ae_title)
        self._places = threading.Lock()

    @property
    def active_associations(self) -> list[Association]:
        """Those that have a place, and the one that asks whether there is one for it.

        pynetdicom asks once, in the thread of the association that wants in, and lets it in where the list is no longer
        than agreed. The place is given here, because any number may ask at the same moment. A port scan or a probe of
        TCP never asks; counted as pynetdicom counts, a few of them would keep senders out.
        """
        asking = threading.current_thread()
        with self._places:
            found = [one for one in super().active_associations if isinstance(one, FilmAssociation) and one.holds_place]
            if isinstance(asking, FilmAssociation) and not asking.holds_place:
                asking.has_place = len(found) < self.maximum_associations
                found.append(asking)
        return list(found)


class FilmAssociation(Association):
    """An association whose films go into the spool as they come, and which leaves nothing behind.

    Parameters
    ----------
    is_stopping
        Asked after each answer: a listener that stops ends the association there, between two films.
    """

    def __init__(self, ae: ApplicationEntity, begin_film: BeginFilm, is_stopping: Callable[[], bool]) -> None:
        super().__init__(ae, MODE_ACCEPTOR)
        self.reception = Reception(self, begin_film)
        self.dimse = self.reception
        self.has_place = False
        self._is_serving = False
        self._is_stopping = is_stopping
        # A process that was told to stop must not wait for a thread that waits for the network.
        self.dul.daemon = True
        self.bind(evt.EVT_CONN_CLOSE, _wake)

    @property
    def holds_place(self) -> bool:
        """Whether it is one of those that are allowed at once; its sender may begin another when this one has ended."""
        return self.has_place and not (self.is_rejected or self.is_aborted or self._sent_release)

    @property
    def is_busy(self) -> bool:
        """Whether a message is arriving, or its answer is not on its way yet."""
        return self.reception.is_busy or self._is_serving

    def run_reactor(self) -> None:
        """Serve the association until it ends, however it does."""
        try:
            super().run_reactor()
        finally:
            # Both are over already, unless a fault of pynetdicom's has ended this thread alone.
            self.dul.kill_dul()
            if self.dul.socket is not None:
                self.dul.socket._shutdown_socket()
            self.reception.end()

    def _serve_request(self, msg: DimseServiceType, context_id: int) -> None:
        self._is_serving, operation = True, self.reception.operation
        if _is_served(msg):
            super()._serve_request(msg, context_id)
        else:
            self.abort()
        # The handlers have said so before; here it is for what never got to one.
        self.reception.answered(operation)
        # The network was still because we were busy.
        self.dul._idle_timer.restart()
        self._is_serving = False
        if self._is_stopping() and self.is_established:
            self.abort()


def _is_served(message: DimseServiceType) -> bool:
    """Return whether a message is a whole request that we answer, under a SOP class of its kind.

    pynetdicom gives no answer to one that lacks a mandatory element, for which its sender would wait, and goes by the
    SOP class alone: it would answer a C-STORE that names Verification with the success of an echo.
    """
    service = _SERVICES.get(type(message))
    if service is None or not message.is_valid_request:
        return False
    return uid_to_service_class(getattr(message, "AffectedSOPClassUID", "")) is service


def _wake(event: evt.Event) -> None:
    """End an association at once whose connection ends before it was asked for; it would wait for its time to be up."""
    association = event.assoc
    if association.requestor.primitive is None:
        waiting: Any = association.dul.to_user_queue  # of which None says that nothing came
        waiting.put(None)
