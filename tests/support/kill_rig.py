"""Redis, gateways and workers that are ended without warning and come back, as a supervisor brings them back."""

from __future__ import annotations

import math
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from services.jobs import keys
from tests.support.gateway import GatewayProcess
from tests.support.parts import Parts
from tests.support.patient_senders import PatientSenders
from tests.support.told_apart_films import DYING
from tests.support.worker_process import WorkerProcess

# RELIABILITY §2 asks for IDLE=3 s; the beat keeps its ratio to it.
IDLE_SECONDS: Final = 3.0
HEARTBEAT_SECONDS: Final = 0.5
IMPATIENT: Final[Mapping[str, Any]] = {
    "worker_idle_seconds": IDLE_SECONDS,
    "worker_heartbeat_seconds": HEARTBEAT_SECONDS,
}
EXIT_BY_SEGV: Final = -signal.SIGSEGV
_TEND_SECONDS: Final = 0.05
_WORKER_EVERY_SECONDS: Final = 2.0
# A machine that is slow for a while must not see more deaths a film: RELIABILITY's prototype had 15 for 2,000 films.
_FILMS_A_WORKER_KILL: Final = 100
_REDIS_EVERY_SECONDS: Final = 4.0
_FIRST_REDIS_SECONDS: Final = 3.0
_GATEWAY_SECONDS: Final = 5.0


class KillRig:
    """So many gateways and workers on one Redis. ``tend`` starts again what has ended by itself, and counts it.

    ``last_poisoned_at`` is when it last found one that poison had ended (``time.monotonic``).
    """

    def __init__(
        self,
        parts: Parts,
        *,
        gateways: int = 1,
        workers: int = 2,
        worker_module: str = "services.worker",
        **worker_settings: object,
    ) -> None:
        self._parts = parts
        self._gateways = [self._gateway(number, port=0) for number in range(gateways)]
        self._ports = [gateway.port for gateway in self._gateways]
        self._workers = [self._worker(number, worker_module, worker_settings) for number in range(workers)]
        self._victim = 0
        self.exits: Counter[int] = Counter()
        self.last_poisoned_at = -math.inf

    @property
    def urls(self) -> list[str]:
        """Where the gateways are; they stay there."""
        return [gateway.url for gateway in self._gateways]

    @property
    def workers(self) -> list[WorkerProcess]:
        """The workers, dead or alive."""
        return self._workers

    @contextmanager
    def running(self) -> Iterator[None]:
        """Run everything for the block."""
        with ExitStack() as stack:
            for worker in self._workers:
                stack.callback(worker.kill)
                worker.start(wait=False)
            stack.callback(self._kill_gateways)
            for gateway in self._gateways:
                gateway.wait_ready()
            for worker in self._workers:
                worker.wait_until_ready()
            yield

    @property
    def gateway_pid(self) -> int:
        """The first gateway's process."""
        return self._gateways[0].process.pid

    @property
    def victim_is_ready(self) -> bool:
        """Whether the next worker in turn works. One that still starts holds nothing, and where starting takes longer
        than the pause between kills no film would ever be scored."""
        return self._workers[self._victim].is_ready()

    def kill_worker(self, number: int | None = None) -> None:
        """End a worker, by default the next in turn, and start it again."""
        victim = self._victim if number is None else number
        self._victim = (victim + 1) % len(self._workers)
        self._workers[victim].kill()
        self._workers[victim].start(wait=False)

    def kill_gateway(self) -> None:
        """End the first gateway, and start it again on its port."""
        self._gateways[0].kill()
        self._gateways[0] = self._gateway(0, port=self._ports[0])

    def kill_redis(self) -> None:
        """End Redis, and start it again on what it has written."""
        self._parts.server.kill()
        self._parts.server.start()

    def tend(self) -> None:
        """Start again the workers that have ended by themselves."""
        for worker in self._workers:
            status = worker.process.poll()
            if status is not None:
                self.exits[status] += 1
                if status == EXIT_BY_SEGV:
                    self.last_poisoned_at = time.monotonic()
                worker.start(wait=False)

    def killed_by_poison(self) -> Counter[str]:
        """Count the workers that each film has killed; the films are named by digests of their tensors."""
        events = [event for worker in self._workers for event in worker.events_of_all_starts()]
        return Counter(film for event in events if event.get("action") == DYING for film in event["films"])

    def open_films(self) -> int:
        """Return how many films have no outcome."""
        with self._parts.server.client() as client:
            return int(client.zcard(keys.OPEN))

    def _gateway(self, number: int, *, port: int) -> GatewayProcess:
        places = self._parts.places
        url = str(places.pop("redis_url"))
        directory = self._parts.directory / f"gateway-{number}"
        directory.mkdir(exist_ok=True)
        return GatewayProcess(directory, redis_url=url, port=port, **places)

    def _worker(self, number: int, module: str, settings: dict[str, object]) -> WorkerProcess:
        directory = self._parts.directory / f"worker-{number}"
        directory.mkdir(exist_ok=True)
        environment = self._parts.worker_environment(**{**IMPATIENT, **settings})
        return WorkerProcess(directory, module=module, **environment)

    def _kill_gateways(self) -> None:
        for gateway in self._gateways:
            gateway.kill()


@dataclass(kw_only=True)
class Faults:
    """What was done to a rig, and when it ended (``time.monotonic``)."""

    worker_kills: int = 0
    redis_kills: int = 0
    gateway_kills: int = 0
    open_at_end: int = 0
    last_at: float = field(default_factory=time.monotonic)


def torment(
    rig: KillRig,
    *,
    until: Callable[[], bool],
    decided: Callable[[], int],
    redis_kills: int = 5,
    gateway_kills: int = 1,
    films_a_worker_kill: int = _FILMS_A_WORKER_KILL,
    seconds: float = 120.0,
) -> Faults:
    """Kill a working worker every two seconds, Redis and gateways in between, until ``until`` and all that has been.

    ``decided`` says how many films have their outcome; workers are spared until ``films_a_worker_kill`` more have it:
    on a slow machine a film would else be in three of them that are killed, and be taken for poison.
    """
    faults = Faults()
    started = time.monotonic()
    enough_decided = 0
    worker_due, redis_due, gateway_due = _WORKER_EVERY_SECONDS, _FIRST_REDIS_SECONDS, _GATEWAY_SECONDS
    while time.monotonic() - started < seconds:
        elapsed = time.monotonic() - started
        if elapsed >= worker_due and rig.victim_is_ready and (now_decided := decided()) >= enough_decided:
            rig.kill_worker()
            faults.worker_kills += 1
            worker_due, enough_decided = elapsed + _WORKER_EVERY_SECONDS, now_decided + films_a_worker_kill
        elif elapsed >= redis_due and faults.redis_kills < redis_kills:
            rig.kill_redis()
            faults.redis_kills += 1
            redis_due += _REDIS_EVERY_SECONDS
        elif elapsed >= gateway_due and faults.gateway_kills < gateway_kills:
            rig.kill_gateway()
            faults.gateway_kills += 1
            gateway_due += _REDIS_EVERY_SECONDS
        elif faults.redis_kills == redis_kills and faults.gateway_kills == gateway_kills and until():
            break
        else:
            rig.tend()
            time.sleep(_TEND_SECONDS)
            continue
        faults.last_at = time.monotonic()
    faults.open_at_end = rig.open_films()
    return faults


def wait_all_done(rig: KillRig, *, seconds: float, senders: PatientSenders | None = None) -> None:
    """Wait until every film is sent and none is open, tending what ends by itself; returns also when time is up."""
    deadline = time.monotonic() + seconds
    while (rig.open_films() or not (senders is None or senders.is_done)) and time.monotonic() < deadline:
        rig.tend()
        time.sleep(_TEND_SECONDS)
