"""The application entity: who is let in, what is agreed on, which of our functions answers; how it stops.

The only module that reads pynetdicom's events. Nothing of an association is logged but codes and ends.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable
from typing import Any, Final

from pydicom.dataset import Dataset
from pynetdicom import _config as pynetdicom_settings
from pynetdicom import evt

from services.dicom.codes import Status
from services.dimse import metrics
from services.dimse.association import FilmAssociation, FilmEntity
from services.dimse.negotiation import as_preferred, presentation_contexts
from services.dimse.part10 import IMPLEMENTATION_CLASS_UID
from services.dimse.refusals import Refusals
from services.dimse.server import Door, FilmServer
from services.dimse.storing import FilmStore, Sender
from services.dimse.tls import tls_of
from services.jobs.settings import DimseSettings

logger = logging.getLogger(__name__)

# PS3.7 D.3.3.2: what senders' logs show, 16 characters at most.
_IMPLEMENTATION_VERSION: Final = "CXR_TRIAGE"
# Within these an association that is aborted has told its sender so, and removed what it had of a film.
_LAST_SECONDS: Final = 5.0


class Listener:
    """Listens from its construction until ``stop``.

    Raises
    ------
    SettingsError
        If the address cannot be bound, or TLS not be set up.
    """

    def __init__(self, settings: DimseSettings, *, store: FilmStore, refusals: Refusals) -> None:
        self._settings = settings
        self._store = store
        self._refusals = refusals
        # What they say is withheld, since it quotes senders and films; a line without words helps nobody. We say more.
        pynetdicom_settings.LOG_HANDLER_LEVEL = "none"
        for library in ("pynetdicom", "pydicom"):
            logging.getLogger(library).setLevel(logging.CRITICAL + 1)
        self._ae = _application_entity(settings)
        metrics.OPEN_ASSOCIATIONS.set_function(lambda: len(self._established()))
        door = Door(
            host=settings.host, port=settings.port, network_seconds=settings.network_seconds, tls=tls_of(settings)
        )
        self._server = FilmServer(
            self._ae, door, contexts=presentation_contexts(), handlers=self._handlers(), begin_film=store.begin
        )
        self.port = self._server.port

    @property
    def is_listening(self) -> bool:
        """Whether associations are still accepted."""
        return self._server.is_accepting

    def stop(self, *, seconds: float) -> None:
        """Accept nothing more, answer films that are arriving, abort what is left after ``seconds``; blocks."""
        self._server.close()
        open_ones = self._established()
        _abort([association for association in open_ones if not association.is_busy])
        _join(open_ones, seconds=seconds)
        if late := [association for association in open_ones if association.is_alive()]:
            logger.warning("associations aborted", extra={"action": "associations_aborted", "count": len(late)})
            _join([*_abort(late), *late], seconds=_LAST_SECONDS)

    def _established(self) -> list[FilmAssociation]:
        return [
            association
            for association in self._ae.active_associations
            if isinstance(association, FilmAssociation) and association.is_established
        ]

    def _handlers(self) -> list[tuple[Any, Any]]:
        return [
            (evt.EVT_REQUESTED, _prefer_as_requested),
            (evt.EVT_C_ECHO, _echo),
            (evt.EVT_C_STORE, self._on_store),
            (evt.EVT_REJECTED, self._on_rejected),
            (evt.EVT_ESTABLISHED, lambda _: metrics.ASSOCIATIONS.labels("established").inc()),
            (evt.EVT_ABORTED, lambda _: metrics.ASSOCIATIONS.labels("aborted").inc()),
        ]

    def _on_store(self, event: evt.Event) -> Dataset:
        association = event.assoc
        assert isinstance(association, FilmAssociation), "the server makes no others"
        operation = association.reception.operation
        requestor = association.requestor
        try:
            answer = self._store.store(
                operation.film if operation is not None else None,
                Sender(ae_title=requestor.ae_title, address=_address(association)),
            )
        finally:
            association.reception.answered(operation)
        response = Dataset()
        response.Status = int(answer.status)
        if answer.comment is not None:
            response.ErrorComment = answer.comment
        return response

    def _on_rejected(self, event: evt.Event) -> None:
        association = event.assoc
        code = self._why_rejected(association)
        metrics.ASSOCIATIONS.labels(code).inc()
        logger.info("association rejected", extra={"action": "association_rejected", "code": code})
        if code != "too_many":
            self._refusals.note(source=_address(association), code=code)

    def _why_rejected(self, association: Any) -> str:
        """Return what is wrong with its AE titles, the called one first; else there was no place (PS3.8 table 9-21)."""
        request = association.requestor.primitive
        if request is not None and request.called_ae_title != self._settings.ae_title:
            return "called_ae_unknown"
        if self._settings.callers and association.requestor.ae_title not in self._settings.callers:
            return "calling_ae_unknown"
        return "too_many"


def _application_entity(settings: DimseSettings) -> FilmEntity:
    entity = FilmEntity(settings.ae_title)
    entity.require_called_aet = True
    entity.require_calling_aet = list(settings.callers)
    entity.maximum_associations = settings.max_associations
    entity.maximum_pdu_size = settings.pdu_bytes
    entity.acse_timeout = settings.network_seconds
    entity.dimse_timeout = settings.network_seconds
    entity.network_timeout = settings.idle_seconds
    entity.implementation_class_uid = IMPLEMENTATION_CLASS_UID
    entity.implementation_version_name = _IMPLEMENTATION_VERSION
    return entity


def _prefer_as_requested(event: evt.Event) -> None:
    acceptor, requestor = event.assoc.acceptor, event.assoc.requestor
    proposed = requestor.primitive.presentation_context_definition_list if requestor.primitive is not None else ()
    acceptor.supported_contexts = as_preferred(acceptor.supported_contexts, proposed)


def _echo(event: evt.Event) -> int:
    association = event.assoc
    assert isinstance(association, FilmAssociation), "the server makes no others"
    association.reception.answered(association.reception.operation)
    return int(Status.SUCCESS)


def _address(association: Any) -> str:
    return str(association.requestor.address)


def _abort(associations: list[FilmAssociation]) -> list[threading.Thread]:
    """Abort them side by side: each waits for its own connection."""
    threads = [threading.Thread(target=association.abort, daemon=True) for association in associations]
    for thread in threads:
        thread.start()
    return threads


def _join(threads: Iterable[threading.Thread], *, seconds: float) -> None:
    """Wait until they have ended, so long for all of them together."""
    due = time.monotonic() + seconds
    for thread in threads:
        thread.join(max(0.0, due - time.monotonic()))
