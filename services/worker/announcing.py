"""What this worker says of itself to the others, and to whoever looks at /v1/models."""

from __future__ import annotations

from services.jobs.status import Preparation, WorkerStatus
from services.worker.loading import LoadedBundle


def status_of(
    name: str, bundle: LoadedBundle, *, preparation: Preparation | None, threads: int, sandbox: str
) -> WorkerStatus:
    """Return a worker's status; Redis' clock fills in when it was said."""
    manifest, serving = bundle.manifest, bundle.serving
    return WorkerStatus(
        consumer=name,
        beat_ms=0,
        model=serving.model,
        provider=bundle.provider,
        threads=threads,
        operating_point=serving.operating_point.name,
        threshold=serving.operating_point.threshold,
        labels=manifest.labels,
        precision=manifest.precision,
        inference_precision=bundle.precision,
        has_heatmap=manifest.explanation is not None,
        has_embedding_gate=manifest.gate is not None,
        probability_rule=manifest.probability_rule,
        inputs=("film", "age", "sex") if serving.takes_age_sex else ("film",),
        operating_points=tuple(point.model_dump(mode="json") for point in manifest.operating_points),
        preparation=preparation,
        sandbox=sandbox,
    )
