"""A film while it arrives: bounded in bytes and time, hashed and written into the spool as it comes.

A film that is refused on the way is dropped at once, and the rest of its bytes unseen: its sender learns why in the
answer, which it expects after the last of them. Knows no network.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from services.dimse.errors import DimseError, FilmTooLarge, FilmTooSlow
from services.dimse.part10 import head_of
from services.jobs.errors import JobsError
from services.jobs.records import Priority
from services.jobs.spool import Spool
from services.jobs.upload import Upload

# Fragments are joined up to this: one of a few bytes must not cost an object, nor a large film a call each.
_CRUMBS_BYTES: Final = 64 * 1024
# Up to this an upload is in memory, and is looked up before a byte of it is written; a larger film is not sent in vain.
_SMALL_BYTES: Final = 1024**2


@dataclass(frozen=True, kw_only=True)
class StoreRequest:
    """What a C-STORE request says before its data set comes (PS3.7 9.3.1.1), and the presentation context it is of."""

    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    abstract_syntax_uid: str
    calling_ae_title: str
    priority: Priority

    @property
    def head(self) -> bytes:
        """The head of the file that the data set becomes."""
        return head_of(
            sop_class_uid=self.sop_class_uid,
            sop_instance_uid=self.sop_instance_uid,
            transfer_syntax_uid=self.transfer_syntax_uid,
        )


@dataclass(frozen=True, kw_only=True)
class ArrivalLimits:
    """How large a film may be, and how long it may take."""

    film_bytes: int
    film_seconds: float


class ArrivingFilm:
    """One data set on its way in. Used by one thread at a time; whoever uses it last calls ``discard``.

    Parameters
    ----------
    look_for_room
        Raises where there is none; called once, of a film that is no small one. May block.
    """

    def __init__(
        self,
        request: StoreRequest,
        spool: Spool,
        limits: ArrivalLimits,
        *,
        look_for_room: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.request = request
        self.refusal: DimseError | JobsError | None = None
        self._limits = limits
        self._look_for_room = look_for_room
        self._has_looked = False
        self._clock = clock
        self._due = clock() + limits.film_seconds
        self._upload: Upload | None = None
        self._crumbs = bytearray()
        self._size_bytes = 0
        try:
            self._upload = spool.begin()
        except JobsError as error:
            self.refuse(error)
        self._add(request.head)

    def write(self, piece: bytes) -> None:
        """Take the next bytes of the data set; those of a refused film are dropped.

        Raises
        ------
        FilmTooSlow
            If the film's time is up.
        """
        if self._clock() > self._due:
            raise FilmTooSlow("the film took too long to arrive")
        self._add(piece)

    def refuse(self, error: DimseError | JobsError) -> None:
        """Keep nothing of this film, and no more of it; the first reason counts."""
        self.refusal = self.refusal or error
        self.discard()

    def whole(self) -> Upload:
        """Return the upload with everything in it; raises what the film was refused for."""
        self._flush()
        if self.refusal is not None:
            raise self.refusal
        assert self._upload is not None, "a film without an upload is refused"
        return self._upload

    def discard(self) -> None:
        """Remove what was not kept; harmless when repeated, and after it was kept."""
        self._crumbs = bytearray()
        if self._upload is not None:
            self._upload.discard()

    def _add(self, piece: bytes) -> None:
        if self.refusal is not None:
            return
        self._size_bytes += len(piece)
        if self._size_bytes > self._limits.film_bytes:
            self.refuse(FilmTooLarge("the film has too many bytes"))
            return
        if self._size_bytes > _SMALL_BYTES and not self._has_looked:
            self._look()
        self._crumbs += piece
        if len(self._crumbs) >= _CRUMBS_BYTES:
            self._flush()

    def _look(self) -> None:
        self._has_looked = True
        try:
            self._look_for_room()
        except (DimseError, JobsError) as error:
            self.refuse(error)

    def _flush(self) -> None:
        if self.refusal is not None or self._upload is None or not self._crumbs:
            return
        crumbs, self._crumbs = bytes(self._crumbs), bytearray()
        try:
            self._upload.write(crumbs)
        except JobsError as error:
            self.refuse(error)
