"""From a bundle's bytes to something that scores: verified, loaded, and its golden inputs scored again here.

Owns where a worker's bundles come from: the directory that it is set to, and the store. Must not know films, nor which
bundle is active.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from model.bundle import Bundle, read_bundle, read_manifest
from model.errors import BundleCorrupt, BundleError, BundleIncompatible
from model.gate import GateSpec
from model.image import Tensor
from model.manifest import Manifest
from model.runtime import Engines, Precision, Provider, Scorer, threshold_margin
from services.jobs.bundle_store import BundleStore
from services.jobs.operating_tables import OperatingTable, table_of
from services.jobs.settings import WorkerSettings
from services.worker import sizing
from services.worker.batching import BatchScorer
from services.worker.bundles import default_bundle_directory
from services.worker.drift import ScoreReference
from services.worker.metrics import ShownBundle
from services.worker.serving import Serving

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class LoadedBundle:
    """A bundle that is verified, loaded and has scored its golden inputs on this machine.

    ``precision`` is what it is computed in, ``reference`` the test films that its scores are compared with, where it
    brought any; ``table`` is what each threshold does to them. ``new_batch_memory`` returns ``(films, 1, s, s)`` uint8
    from where the scorer reads fastest; ``None`` where any memory is as good.
    """

    scorer: BatchScorer
    provider: Provider
    precision: Precision
    manifest: Manifest
    serving: Serving
    reference: ScoreReference | None = None
    table: OperatingTable | None = None
    new_batch_memory: Callable[[int], Tensor] | None = None

    @property
    def digest(self) -> str:
        """What names it."""
        return self.serving.model.digest

    @property
    def shown(self) -> ShownBundle:
        """What metrics say of it."""
        return ShownBundle(
            model=self.serving.model, provider=self.provider, precision=self.precision, reference=self.reference
        )


class BundleLoader:
    """Loads bundles as this worker is set to run them.

    Every method raises ``BundleError`` where a bundle is not there, not whole, not the pinned one or scores differently
    here, and ``ProviderUnavailable`` where the named provider or precision did not become active.
    """

    def __init__(self, settings: WorkerSettings) -> None:
        self._settings = settings
        self._store = BundleStore(settings.bundle_store)

    def load_configured(self) -> LoadedBundle:
        """Load the bundle that the settings name, or the one that ships."""
        bundle = read_bundle(self._settings.bundle or default_bundle_directory())
        if self._settings.bundle_digest not in (None, bundle.digest):
            name = bundle.manifest.name
            raise BundleCorrupt(f"the manifest of {name} is not the one that CXR_WORKER_BUNDLE_DIGEST pins")
        return self._load(bundle)

    def load_activated(self, digest: str) -> LoadedBundle:
        """Load a bundle by its digest, from the store or from where this worker's own lies."""
        pinned = self._settings.bundle_digest
        if pinned not in (None, digest):
            raise BundleIncompatible(f"CXR_WORKER_BUNDLE_DIGEST pins this worker to another bundle than {digest[:12]}")
        return self._load(self._configured_if(digest) or self._store.get(digest))

    def _configured_if(self, digest: str) -> Bundle | None:
        """Return the configured bundle where it is this one: what was never activated is not in the store."""
        try:
            directory = self._settings.bundle or default_bundle_directory()
            return read_bundle(directory) if read_manifest(directory)[1] == digest else None
        except BundleError as error:
            logger.warning("own bundle unusable", extra={"action": "own_bundle_unusable", "code": error.code})
            return None

    def _load(self, bundle: Bundle) -> LoadedBundle:
        settings = self._settings
        provider = Provider(settings.provider)
        largest_batch = sizing.batch_policy(provider, settings).max_films
        scorer = Scorer(
            bundle,
            provider=provider,
            precision=Precision(settings.precision),
            threads=sizing.threads(provider, settings),
            engines=Engines(directory=settings.engine_cache, largest_batch=largest_batch),
        )
        gate = GateSpec(minimum_age_years=settings.minimum_age_years, is_age_required=settings.require_age)
        margin = threshold_margin(scorer.precision)
        serving = Serving.of(bundle, operating_point=settings.operating_point, gate=gate, threshold_margin=margin)
        scorer.verify_golden()
        return LoadedBundle(
            scorer=scorer,
            provider=scorer.provider,
            precision=scorer.precision,
            manifest=bundle.manifest,
            serving=serving,
            reference=ScoreReference.of(bundle.report),
            table=table_of(bundle),
            new_batch_memory=scorer.batch_memory,
        )
