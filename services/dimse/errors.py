"""What can go wrong between a C-STORE request and its answer, besides what ``services.jobs`` and ``model`` raise.

DimseError
├── CallerNotKnown       the calling AE title has no site
├── FilmTooLarge         more bytes than a film may have; the rest is not kept
├── FilmAbsent           a C-STORE request without a data set, or without usable UIDs
├── DataSetMismatch      the data set is another instance, or of another SOP class, than the request says
├── ProtocolViolated     what came is no message that we serve, or not when it may come; ends its association
│   └── FilmTooSlow      the film did not arrive in its time
└── ListenerEnded        connections are not accepted any more; ends the process, whose supervisor starts another
"""

from __future__ import annotations

from typing import ClassVar


class DimseError(Exception):
    """Root of this package's errors."""

    code: ClassVar[str] = "dimse_error"
    retryable: ClassVar[bool] = False


class CallerNotKnown(DimseError):
    """The calling AE title has no site; nothing of the film was kept."""

    code: ClassVar[str] = "caller_not_known"


class FilmTooLarge(DimseError):
    """The data set has more bytes than a film may have. Nothing of it was kept, and its rest was not looked at."""

    code: ClassVar[str] = "film_too_large"


class FilmAbsent(DimseError):
    """A C-STORE request without a data set, or whose UIDs are none."""

    code: ClassVar[str] = "film_absent"


class DataSetMismatch(DimseError):
    """(0008,0016) or (0008,0018) of the data set is not what the request says (PS3.4 B.2.3, A9xx)."""

    code: ClassVar[str] = "data_set_mismatch"


class ProtocolViolated(DimseError):
    """A message that we do not serve, or that may not come now (PS3.7 D.3.3.3). Its association is aborted."""

    code: ClassVar[str] = "protocol_violated"


class FilmTooSlow(ProtocolViolated):
    """The film did not arrive in the time that it has. Its association is aborted."""

    code: ClassVar[str] = "film_too_slow"


class ListenerEnded(DimseError):
    """The thread that accepts connections has ended without being told to."""

    code: ClassVar[str] = "listener_ended"
