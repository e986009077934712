"""Receives messages on one association: commands by pynetdicom, the data sets of films straight into the spool.

Stands in the place of pynetdicom's DIMSE provider, which keeps a data set of any size in memory, or whole in a
temporary file that it leaves behind when the sender goes away. Here a film is bounded, and counted against the spool's
quota, while it comes. One operation at a time: no window was negotiated (PS3.7 D.3.3.3), so that whoever sends more
before an answer is cut off rather than given memory. Used by the association's network thread, but for ``answered``
and ``end``, which its other thread calls: ``answered`` before the answer is sent, since the next message may follow at
once.
"""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from pynetdicom.dimse import DIMSEServiceProvider
from pynetdicom.dimse_messages import C_STORE_RQ
from pynetdicom.pdu_primitives import P_DATA

from services.dimse.arriving import ArrivingFilm, StoreRequest
from services.dimse.errors import FilmAbsent, ProtocolViolated
from services.jobs.records import Priority

if TYPE_CHECKING:
    from pynetdicom.association import Association

logger = logging.getLogger(__name__)

# PS3.8 E.2: bits of the message control header, a fragment's first byte.
_IS_COMMAND, _IS_LAST = 0x01, 0x02
# The longest command that we serve has a dozen elements of at most 64 characters.
_COMMAND_BYTES: Final = 16 * 1024
_UID: Final = re.compile(r"[0-9.]{1,64}")
_HIGH: Final = 0x0001  # (0000,0700) Priority: 0 medium, 1 high, 2 low
_INVALID_PDU: Final = "Evt19"  # PS3.8 table 9-10: the association is aborted by its provider


@dataclass(eq=False)
class Operation:
    """One message from its command to its answer, with the film that it brings, if it brings one."""

    film: ArrivingFilm | None = None
    is_whole: bool = False


# Begins a film; the reception knows neither spool nor limits.
BeginFilm = Callable[[StoreRequest], ArrivingFilm]


class Reception(DIMSEServiceProvider):
    """The DIMSE provider of one association."""

    def __init__(self, association: Association, begin_film: BeginFilm) -> None:
        super().__init__(association)
        self._begin_film = begin_film
        self._lock = threading.Lock()
        self._command_bytes = 0
        self._context_id: int | None = None
        self._is_over = False
        self.operation: Operation | None = None

    @property
    def is_busy(self) -> bool:
        """Whether a message is arriving, or has no answer yet."""
        return self.operation is not None

    def receive_primitive(self, primitive: P_DATA) -> None:
        """Take what one PDU brought, fragment by fragment; what we cannot serve ends the association."""
        with self._lock:
            try:
                if not primitive.presentation_data_value_list:
                    # PS3.8 9.3.5 wants one; and by fragments alone a film's time is up.
                    raise ProtocolViolated("a PDU without a fragment")
                for context_id, fragment in primitive.presentation_data_value_list:
                    if self._is_over:
                        return
                    self._receive(context_id, fragment)
            except ProtocolViolated as error:
                self._cut_off(error.code)
            except Exception as error:  # noqa: BLE001 - the wall: pydicom raises anything on foreign bytes
                self._cut_off(ProtocolViolated.code, type(error).__name__)

    def answered(self, operation: Operation | None) -> None:
        """Let the next message come, and keep nothing of this one's film that was not kept; harmless if repeated."""
        with self._lock:
            if operation is None or operation is not self.operation:
                return
            self.operation = None
        if operation.film is not None:
            operation.film.discard()

    def end(self) -> None:
        """Take nothing more, and keep nothing of a film that was under way: the association is over."""
        with self._lock:
            self._is_over = True
        self.answered(self.operation)

    def _receive(self, context_id: int, fragment: bytes) -> None:
        if not fragment:
            raise ProtocolViolated("a fragment without its control header")
        if fragment[0] & _IS_COMMAND:
            self._receive_command(context_id, fragment)
        else:
            self._receive_data(context_id, fragment)

    def _receive_command(self, context_id: int, fragment: bytes) -> None:
        if self.operation is not None:
            raise ProtocolViolated("a message before the answer to the last one")
        self._command_bytes += len(fragment)
        if self._command_bytes > _COMMAND_BYTES:
            raise ProtocolViolated("a command without end")
        if not fragment[0] & _IS_LAST:
            super().receive_primitive(_only(context_id, fragment))
            return
        self._command_bytes, self._context_id = 0, context_id
        # Before pynetdicom hears of it: a message without a data set is served from then on.
        self.operation = Operation()
        super().receive_primitive(_only(context_id, fragment))
        if self.message is not None:
            self.operation.film = self._begin(context_id)

    def _begin(self, context_id: int) -> ArrivingFilm:
        context = self.assoc._accepted_cx.get(context_id)
        if context is None or not isinstance(self.message, C_STORE_RQ):
            raise ProtocolViolated("a data set that belongs to nothing we serve")
        command = self.message.command_set
        sop_class_uid, sop_instance_uid = (
            _uid(command.get(keyword)) for keyword in ("AffectedSOPClassUID", "AffectedSOPInstanceUID")
        )
        film = self._begin_film(
            StoreRequest(
                sop_class_uid=sop_class_uid or "",
                sop_instance_uid=sop_instance_uid or "",
                transfer_syntax_uid=str(context.transfer_syntax[0]),
                abstract_syntax_uid=str(context.abstract_syntax),
                calling_ae_title=str(self.assoc.requestor.ae_title),
                priority=Priority.STAT if command.get("Priority") == _HIGH else Priority.ROUTINE,
            )
        )
        if sop_class_uid is None or sop_instance_uid is None:
            film.refuse(FilmAbsent("the request does not say which instance it is about"))
        return film

    def _receive_data(self, context_id: int, fragment: bytes) -> None:
        operation = self.operation
        if operation is None or operation.film is None or operation.is_whole or context_id != self._context_id:
            raise ProtocolViolated("data that no command announced")
        operation.film.write(fragment[1:])
        if fragment[0] & _IS_LAST:
            operation.is_whole = True
            # The control header alone ends pynetdicom's message, which then asks for our handler.
            super().receive_primitive(_only(context_id, fragment[:1]))

    def _cut_off(self, code: str, error: str | None = None) -> None:
        self._is_over = True
        logger.warning("association cut off", extra={"action": "association_cut_off", "code": code, "error": error})
        self.dul.event_queue.put(_INVALID_PDU)


def _only(context_id: int, fragment: bytes) -> P_DATA:
    primitive = P_DATA()
    primitive.presentation_data_value_list.append((context_id, fragment))
    return primitive


def _uid(value: Any) -> str | None:
    """Return a UID that may be written into a file; ``None`` where it is none (PS3.5 9.1)."""
    text = str(value) if isinstance(value, str) else ""
    return text if _UID.fullmatch(text) else None
