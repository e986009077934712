"""What a loaded bundle amounts to for a film: how it is decoded, gated and decided. Below everything that uses it."""

from __future__ import annotations

from dataclasses import dataclass

from model.bundle import Bundle
from model.decision import Policy
from model.gate import EmbeddingGate, GateSpec
from model.manifest import OperatingPoint
from model.preprocessing import PreprocessingSpec
from services.jobs.policies import SitePolicy
from services.jobs.records import ModelReference

# The bundle's own operating point, where a site has no policy for this model.
_BUNDLE_POLICY_VERSION = 0


@dataclass(frozen=True, kw_only=True)
class Serving:
    """What a bundle needs of a film, and by which point it decides.

    ``gate`` looks at headers and pixels, ``embedding_gate`` at what the network made of them; ``None`` where the bundle
    has no statistics for it. ``takes_age_sex``: the network asks for them; a film whose patient's are unknown is scored
    all the same.
    """

    model: ModelReference
    operating_point: OperatingPoint
    preprocessing: PreprocessingSpec
    gate: GateSpec
    temperature: float
    embedding_gate: EmbeddingGate | None
    takes_age_sex: bool
    threshold_margin: float = 0.0

    @classmethod
    def of(
        cls, bundle: Bundle, *, operating_point: str | None, gate: GateSpec, threshold_margin: float = 0.0
    ) -> Serving:
        """Serve a bundle; raise ``BundleIncompatible`` where it has no point of that name.

        Its threshold, and that of every policy, is lowered by ``threshold_margin``, which scores may move by where they
        are not computed as they were certified.
        """
        manifest = bundle.manifest
        return cls(
            model=ModelReference(name=manifest.name, version=manifest.version, digest=bundle.digest),
            operating_point=_lowered(manifest.operating_point(operating_point), threshold_margin),
            threshold_margin=threshold_margin,
            preprocessing=manifest.preprocessing,
            gate=gate,
            temperature=manifest.temperature,
            embedding_gate=_embedding_gate(bundle),
            takes_age_sex=manifest.age_sex_input_name is not None,
        )

    def policy(self, site: str, chosen: SitePolicy | None) -> Policy:
        """Return what decides this site's films: what it has ``chosen`` for this model, else the bundle's own point.

        A policy for another model never decides.
        """
        if chosen is None or chosen.site != site or chosen.model.digest != self.model.digest:
            version, name, threshold = _BUNDLE_POLICY_VERSION, self.operating_point.name, self.operating_point.threshold
        else:
            version, name = chosen.version, chosen.name
            threshold = max(0.0, chosen.threshold - self.threshold_margin)
        return Policy(site=site, version=version, name=name, threshold=threshold, model_digest=self.model.digest)


def _lowered(point: OperatingPoint, margin: float) -> OperatingPoint:
    return point.model_copy(update={"threshold": max(0.0, point.threshold - margin)})


def _embedding_gate(bundle: Bundle) -> EmbeddingGate | None:
    statistics, arrays = bundle.manifest.gate, bundle.gate
    if statistics is None or arrays is None:
        return None
    return EmbeddingGate(mean=arrays.mean, covariance=arrays.covariance, limit=statistics.limit)
