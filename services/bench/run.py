"""One run of ``cxr-triage bench`` from its options to its figures. The only place where the room's parts meet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from services.bench.arrivals import Arrivals, arrival_times
from services.bench.connections import ConnectionPool, Undelivered
from services.bench.figures import Measured
from services.bench.films import Films, Template
from services.bench.load import OnSample, run_closed, run_open
from services.bench.target import TargetOptions, TriageTarget

_KEY_REFUSED: Final = 401


@dataclass(frozen=True, kw_only=True)
class BenchOptions:
    """What load is put on which service.

    With ``rate`` (films a second) the loop is open, for ``seconds``; without it ``concurrency`` films are on their way
    at once, for ``seconds`` or until ``films`` are sent. Films due in the first ``warm_up_seconds`` do not count.
    """

    url: str
    key: str | None = field(default=None, repr=False)
    rate: float | None = None
    arrivals: Arrivals = Arrivals.POISSON
    concurrency: int = 8
    seconds: float | None = 30.0
    films: int | None = None
    warm_up_seconds: float = 0.0
    target: TargetOptions = field(default_factory=TargetOptions)

    def described(self) -> dict[str, object]:
        """Return the load, without the key and the service's address, as the saved document has it."""
        loop: dict[str, object] = {"loop": "closed", "concurrency": self.concurrency}
        if self.rate is not None:
            loop = {"loop": "open", "films_per_second": self.rate, "arrivals": self.arrivals}
        lasting = {"seconds": self.seconds, "films": self.films, "warm_up_seconds": self.warm_up_seconds}
        return loop | lasting | {"follow": self.target.follow, "priority": self.target.priority}


class NoService(Exception):
    """Nothing there would take a film: said before a load is put on it."""


async def measure(options: BenchOptions, templates: Sequence[Template], on_sample: OnSample | None = None) -> Measured:
    """Put the load on the service and return what was measured; what goes wrong with a film is counted, not raised.

    Raises
    ------
    NoService
        If nothing answers before the first film, or the key is refused.
    """
    headers = {"authorization": f"Bearer {options.key}"} if options.key else None
    pool = ConnectionPool(options.url, headers=headers, patience_seconds=options.target.patience_seconds)
    deliver = TriageTarget(pool, Films(templates), options.target).deliver
    try:
        await _require_service(pool)
        if options.rate is not None:
            assert options.seconds is not None, "an open loop ends after a time"
            due = arrival_times(options.arrivals, per_second=options.rate, seconds=options.seconds)
            run = await run_open(deliver, arrivals=due, on_sample=on_sample)
        else:
            run = await run_closed(
                deliver,
                concurrency=options.concurrency,
                seconds=options.seconds if options.films is None else None,
                films=options.films,
                on_sample=on_sample,
            )
    finally:
        await pool.close()
    return Measured.of(run, warm_up_seconds=options.warm_up_seconds)


async def _require_service(pool: ConnectionPool) -> None:
    """Ask something small first: a load of refusals measures nothing."""
    try:
        answer = await pool.request("GET", "/v1/models")
    except Undelivered as error:
        raise NoService(f"no service answers there ({error.code})") from error
    # A key that may send films and not see models gets 403, and is not our matter.
    if answer.status == _KEY_REFUSED:
        raise NoService("the service does not know this API key")
