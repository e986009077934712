"""The circuit of one target: while it fails, one probe at a time and pauses between them; once it answers, all of them.

Lives in the process, one for each target: a restart begins closed, which costs a few more failures. Knows no clock.
"""

from __future__ import annotations

from services.delivery.waiting import Backoff


class Circuit:
    """Counts failures in a row.

    Parameters
    ----------
    failures
        After so many in a row the circuit opens.
    width
        Results under way at once while it is closed.
    pauses
        Waits between probes while it is open.
    """

    def __init__(self, *, failures: int, width: int, pauses: Backoff) -> None:
        self._limit = failures
        self._width = width
        self._pauses = pauses
        self._in_a_row = 0

    @property
    def is_open(self) -> bool:
        """Whether the target is taken for away."""
        return self._in_a_row >= self._limit

    @property
    def width(self) -> int:
        """Return how many results may be under way at once."""
        return 1 if self.is_open else self._width

    def pause(self) -> float:
        """Return the seconds to wait before the next probe; 0 while the circuit is closed."""
        return self._pauses.wait(self._in_a_row - self._limit + 1) if self.is_open else 0.0

    def answered(self) -> None:
        """Note that the target took or refused a result: it is there."""
        self._in_a_row = 0

    def failed(self) -> None:
        """Note that the target did not answer, or could not take a result."""
        self._in_a_row += 1
