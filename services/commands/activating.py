"""The operator's side of an activation: proposes a bundle, hears every worker, makes it active or takes it back.

Owns when a candidate may become active. Must not know files; ``bundle`` has verified and stored what is named here.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import ClassVar, Final, TypeVar

from services.commands.adopting import adopt_default_point
from services.commands.place import Place, who_runs_this
from services.jobs.activation import Activation, BundleActivation
from services.jobs.connection import connect_gateway
from services.jobs.errors import ActivationConflict, JobsError, PoliciesMissing, QueueUnavailable
from services.jobs.ledger.trail import AuditTrail
from services.jobs.operating_tables import OperatingTable, OperatingTables
from services.jobs.policies import Policies
from services.jobs.queue import JobQueue
from services.jobs.status import Preparation, PreparationState, WorkerStatus

_POLL_SECONDS: Final = 0.2
# A candidate outlives its operator's patience by so much, then Redis itself withdraws it.
_GRACE_SECONDS: Final = 10.0

_Answer = TypeVar("_Answer")


class ActivationFailed(JobsError):
    """The candidate was not made active, and the bundle before it serves on; ``refusal`` is a code that says why.

    ``is_active``: it was, but some worker does not serve it yet.
    """

    code: ClassVar[str] = "activation_failed"

    def __init__(self, refusal: str, detail: str, *, is_active: bool = False) -> None:
        super().__init__(f"{refusal}: {detail}")
        self.refusal = refusal
        self.is_active = is_active


class Operator:
    """One operator's attempt to activate a bundle.

    Parameters
    ----------
    by
        Who they are; other operators are told.
    seconds
        How long workers may take to prepare, and then to switch.
    tell
        Takes what happens, line by line.
    """

    def __init__(
        self,
        activation: BundleActivation,
        queue: JobQueue,
        *,
        by: str,
        seconds: float,
        tell: Callable[[str], None] = print,
    ) -> None:
        self._activation = activation
        self._queue = queue
        self._by = by
        self._seconds = seconds
        self._tell = tell
        self._attempt = secrets.token_hex(8)
        self._heard: dict[str, Preparation] = {}

    async def activate(self, digest: str, *, is_tried: bool) -> None:
        """Make a bundle active everywhere.

        ``is_tried``: somebody has scored its golden inputs already, so that it may become active while no worker lives
        to prepare it; workers that start load it then.

        Raises
        ------
        ActivationFailed
            If a worker refused it, died of it or did not answer in time; if nobody has tried it; or if it is active,
            but some worker does not serve it in time.
        ActivationConflict
            If another operator was first. Nothing was changed.
        PoliciesMissing
            If a site has chosen a policy, but none for this bundle. Nothing was changed.
        """
        deadline = asyncio.get_running_loop().time() + self._seconds
        state = await self._until_answered(self._activation.read, deadline)
        if state.active == digest:
            self._tell(f"{digest[:12]} is active already")
        else:
            await self._change(state, digest, deadline, is_tried=is_tried)
            self._tell(f"{digest[:12]} is active")
        await self._served_everywhere(digest)

    async def _change(self, state: Activation, digest: str, deadline: float, *, is_tried: bool) -> None:
        workers = await self._until_answered(self._queue.workers, deadline)
        if not workers and not is_tried:
            raise ActivationFailed("untried", "no worker lives to try it, and onnxruntime is not installed here")
        served = {worker.model.digest for worker in workers}
        before = served.pop() if len(served) == 1 else None
        seconds = self._seconds + _GRACE_SECONDS
        try:
            await self._until_answered(
                lambda: self._activation.propose(
                    digest, attempt=self._attempt, by=self._by, seconds=seconds, seen=state
                ),
                deadline,
            )
            self._tell(f"{digest[:12]} is the candidate; {len(workers)} workers are asked to prepare it")
            await self._prepared_everywhere({worker.consumer for worker in workers}, deadline)
            await self._until_answered(lambda: self._activation.activate(self._attempt, served=before), deadline)
        except ActivationFailed as failed:
            if await self._withdraw(failed.refusal):
                raise
        except PoliciesMissing as missing:
            await self._withdraw(missing.code)
            raise
        except asyncio.CancelledError:
            await self._withdraw("interrupted")
            raise

    async def _prepared_everywhere(self, asked: set[str], deadline: float) -> None:
        """Wait for all of ``asked``, and for who came since: who falls silent before may have died of the candidate."""
        while True:
            workers = {worker.consumer: worker for worker in await self._until_answered(self._queue.workers, deadline)}
            for name, worker in workers.items():
                self._hear(name, worker)
            for name in sorted((asked | self._heard.keys()) - workers.keys()):
                if not self._is_prepared(name):
                    raise ActivationFailed(
                        "worker_died",
                        f"worker {name} fell silent before it had prepared the candidate; if it was stopped on purpose,"
                        " activate again",
                    )
            waiting = [name for name in workers if not self._is_prepared(name)]
            if not waiting:
                return
            await self._pause(deadline, f"workers have not prepared it in time: {', '.join(waiting)}")

    def _hear(self, name: str, worker: WorkerStatus) -> None:
        told = worker.preparation
        if told is None or told.attempt != self._attempt or self._heard.get(name) == told:
            return
        self._heard[name] = told
        if told.state is PreparationState.REFUSED:
            raise ActivationFailed(told.code or "refused", f"worker {name} refuses it: {told.detail}")
        self._tell(f"worker {name}: {told.state}")

    def _is_prepared(self, name: str) -> bool:
        return name in self._heard and self._heard[name].state is PreparationState.PREPARED

    async def _served_everywhere(self, digest: str) -> None:
        deadline = asyncio.get_running_loop().time() + self._seconds
        try:
            while True:
                workers = await self._until_answered(self._queue.workers, deadline)
                others = [worker.consumer for worker in workers if worker.model.digest != digest]
                if not others:
                    break
                await self._pause(deadline, f"not served yet by {', '.join(others)}")
        except ActivationFailed as failed:
            raise ActivationFailed(failed.refusal, f"{digest[:12]} is active, but {failed}", is_active=True) from failed
        who = f"by {len(workers)} workers" if workers else "by workers that start from now on"
        self._tell(f"{digest[:12]} is served {who}")

    async def _withdraw(self, code: str) -> bool:
        """Take the candidate back; return False where it has become active all the same (a reply was lost)."""
        try:
            is_withdrawn = await self._activation.withdraw(self._attempt, code=code)
        except QueueUnavailable:
            self._tell("Redis does not answer; it forgets the candidate by itself when its time is over")
            return True
        if is_withdrawn:
            self._tell("the candidate is withdrawn")
        return is_withdrawn

    async def _until_answered(self, step: Callable[[], Awaitable[_Answer]], deadline: float) -> _Answer:
        """Repeat an idempotent step while Redis does not answer."""
        while True:
            try:
                return await step()
            except QueueUnavailable as error:
                await self._pause(deadline, str(error))
            except ActivationConflict as error:
                if self._heard:  # the attempt was under way
                    raise ActivationFailed("timeout", str(error)) from error
                raise

    async def _pause(self, deadline: float, reason: str) -> None:
        if asyncio.get_running_loop().time() > deadline:
            raise ActivationFailed("timeout", reason)
        await asyncio.sleep(_POLL_SECONDS)


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """A bundle to activate.

    ``table`` is ``None`` where only Redis can have it; ``is_tried`` as ``Operator.activate`` takes it;
    ``adopts``: sites without a policy for it take its default point.
    """

    digest: str
    table: OperatingTable | None
    is_tried: bool
    adopts: bool


async def activate_everywhere(place: Place, attempt: Attempt, *, seconds: float, trail: AuditTrail) -> None:
    """Make the bundle's table known, so that sites can choose a policy for it, and activate it. Raises as ``Operator``.

    Sites without one take its default point where the attempt says so.
    """
    tell = partial(print, flush=True)
    async with connect_gateway(place.redis) as client:
        tables = OperatingTables(client)
        if attempt.table is not None:
            await tables.keep(attempt.table)
        table = attempt.table or await tables.get(attempt.digest)
        if attempt.adopts and table is not None:
            await adopt_default_point(Policies(client), table, by=who_runs_this(), note=trail.note_facts, tell=tell)
        operator = Operator(BundleActivation(client), JobQueue(client), by=who_runs_this(), seconds=seconds, tell=tell)
        await operator.activate(attempt.digest, is_tried=attempt.is_tried)
