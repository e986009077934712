"""The worker's side of an activation: prepares candidates beside the bundle that serves, and switches when told.

Owns what is loaded besides, and what is said of it. Must not know films. A bundle is loaded in a thread, so that films,
heartbeats and probes go on meanwhile; whatever is wrong with a candidate costs nothing but the candidate.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Final

from model.errors import BundleIncompatible, ModelError
from services.jobs.activation import Activation, BundleActivation
from services.jobs.status import Preparation, PreparationState
from services.worker import metrics
from services.worker.loading import BundleLoader, LoadedBundle
from services.worker.switching import ServedBundles

logger = logging.getLogger(__name__)

# The attempt of a bundle that is active already, and that this worker was not there to prepare.
_CATCHING_UP: Final = ""


@dataclass(frozen=True, kw_only=True)
class _Trial:
    """A bundle that is being loaded, or was; ``attempt`` is whose sake it is for."""

    attempt: str
    digest: str
    loading: Future[LoadedBundle]

    @property
    def error(self) -> ModelError | None:
        """Why it cannot be served; ``None`` also while it is being loaded."""
        error = self.loading.exception() if self.loading.done() else None
        assert error is None or isinstance(error, ModelError), "the thread's guard translates all others"
        return error

    @property
    def loaded(self) -> LoadedBundle | None:
        """The bundle, once it can be served."""
        return self.loading.result() if self.loading.done() and self.error is None else None


class BundleFollower:
    """Follows what operators activate.

    Parameters
    ----------
    give_up
        Called once where the active bundle cannot be served here: this worker has to stop, ``failure`` says why. To go
        on with the old one would be to decide films by a bundle that nobody wants any more.

    Attributes
    ----------
    preparation
        What to tell operators of the candidate; ``None`` where there is none.
    """

    def __init__(
        self,
        activation: BundleActivation,
        *,
        loader: BundleLoader,
        bundles: ServedBundles,
        give_up: Callable[[], None],
    ) -> None:
        self._activation = activation
        self._loader = loader
        self._bundles = bundles
        self._give_up = give_up
        self._remembered = Activation()
        self._trial: _Trial | None = None
        self.preparation: Preparation | None = None
        self.failure: ModelError | None = None

    async def begin(self) -> None:
        """Serve the active bundle, before any film is taken.

        Raises
        ------
        ModelError
            If it cannot be served here.
        QueueUnavailable
            If nobody can say which one it is.
        """
        state = await self._look()
        served = self._bundles.serving.digest
        if state.active is not None and state.active != served:
            self._bundles.switch_to(await asyncio.wrap_future(self._load(state.active)))
            facts = {"digest": state.active, "instead_of": served}
            logger.info("active bundle loaded", extra={"action": "bundle_switched", **facts})
        self._show()

    async def step(self) -> bool:
        """Look whether anything changed, and take it one step further; return whether there is something to tell.

        Loads for as long as it takes, in its thread; this never waits for it.
        """
        state = await self._look()
        before = self._bundles.serving, self.preparation
        self._try_what_is_wanted(state)
        self._switch_if_told(state)
        self.preparation = self._preparation(state)
        if before == (self._bundles.serving, self.preparation):
            return False
        self._show()
        return True

    async def _look(self) -> Activation:
        state = await self._activation.read()
        if state.revision < self._remembered.revision and self._remembered.active is not None:
            logger.warning("active bundle forgotten by Redis", extra={"action": "activation_restored"})
            await self._activation.restore(self._remembered)
            state = await self._activation.read()
        self._remembered = state
        return state

    def _try_what_is_wanted(self, state: Activation) -> None:
        """Load what should be ready beside the bundle that serves; let go of what need not be any more."""
        trial = self._trial
        if trial is not None and not trial.loading.done():
            return  # a thread cannot be ended; whatever is wanted now has its turn after it
        wanted = self._wanted(state)
        if wanted is None:
            self._trial = None
            return
        attempt, digest = wanted
        is_settled = trial is not None and trial.digest == digest and (trial.error is None or trial.attempt == attempt)
        if not is_settled:
            self._trial = _Trial(attempt=attempt, digest=digest, loading=self._load(digest))

    def _wanted(self, state: Activation) -> tuple[str, str] | None:
        """Return for which attempt which bundle has to be loaded besides, if any."""
        served = self._bundles.serving.digest
        if state.active is not None and state.active != served:
            return _CATCHING_UP, state.active
        if state.candidate is not None and state.candidate.digest != served:
            return state.candidate.attempt, state.candidate.digest
        return None

    def _switch_if_told(self, state: Activation) -> None:
        trial = self._trial
        if trial is None or state.active != trial.digest or not trial.loading.done():
            return
        if trial.loaded is not None:
            self._trial = None
            self._bundles.switch_to(trial.loaded)
            logger.info("bundle switched", extra={"action": "bundle_switched", "digest": trial.digest})
        elif trial.attempt == _CATCHING_UP and self.failure is None:
            self.failure = trial.error
            self._give_up()

    def _preparation(self, state: Activation) -> Preparation | None:
        candidate, trial = state.candidate, self._trial
        if candidate is None:
            return None
        progress, code, detail = PreparationState.PREPARING, None, None
        if candidate.digest == self._bundles.serving.digest:
            progress = PreparationState.PREPARED
        elif trial is not None and trial.digest == candidate.digest:
            if trial.loaded is not None:
                progress = PreparationState.PREPARED
            elif trial.error is not None and trial.attempt == candidate.attempt:
                progress, code, detail = PreparationState.REFUSED, trial.error.code, str(trial.error)
        return Preparation(attempt=candidate.attempt, digest=candidate.digest, state=progress, code=code, detail=detail)

    def _show(self) -> None:
        trial, preparation = self._trial, self.preparation
        loaded = None if trial is None else trial.loaded
        metrics.show_bundles(serving=self._bundles.serving.shown, candidate=None if loaded is None else loaded.shown)
        if preparation is None:
            return
        facts = {"digest": preparation.digest, "state": str(preparation.state), "code": preparation.code}
        logger.info("candidate bundle", extra={"action": "bundle_candidate", **facts})
        if preparation.state is PreparationState.REFUSED:
            metrics.BUNDLES_REFUSED.labels(preparation.code).inc()

    def _load(self, digest: str) -> Future[LoadedBundle]:
        """Load in a daemon thread: one that hangs on a disk must not keep the process from ending."""
        loading: Future[LoadedBundle] = Future()
        threading.Thread(target=self._load_into, args=(loading, digest), name="bundle", daemon=True).start()
        return loading

    def _load_into(self, loading: Future[LoadedBundle], digest: str) -> None:
        try:
            loading.set_result(self._loader.load_activated(digest))
        except ModelError as error:
            loading.set_exception(error)
        except Exception:  # the thread's outermost guard: the bundle that serves goes on, whatever this one did
            logger.exception("bundle not loaded", extra={"action": "bundle_not_loaded", "digest": digest})
            loading.set_exception(BundleIncompatible(f"loading the bundle {digest[:12]} failed; see the worker's log"))
