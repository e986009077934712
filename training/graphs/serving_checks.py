"""Whether the bundle, loaded and run as a worker would, answers what the run wrote down.

Knows a written candidate and scored films; nothing of how bundles are put together.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from model.bundle import Bundle, read_bundle
from model.decision import Score
from model.errors import BundleError
from model.gate import EmbeddingGate
from model.runtime import Provider, Scorer
from training.datasets.inputs import Inputs
from training.errors import PublishRefused
from training.graphs.export_facts import Variant
from training.statistics.metrics import Floats
from training.statistics.scored_films import ScoredFilms

# How many films of a part are scored again; also enough of them to judge the gate by.
RESCORED_FILMS = 128
# A gate set at the 99.5th percentile that turns more chest films than this away does not fit its graph.
BEYOND_AT_MOST = 0.05
_ENOUGH_FILMS = 100
_BATCH = 32


@dataclass(frozen=True, kw_only=True)
class WrittenDown:
    """Inputs of films of one part and what the run wrote of them, in the same order."""

    part: str
    inputs: Inputs
    films: ScoredFilms

    def expected(self, variant: Variant, labels: tuple[str, ...]) -> Floats:
        """Return ``(n, c)``: the probability, twice because it is written twice, and those findings that are there."""
        found = [self.films.finding_scores[label] for label in labels if label in self.films.finding_scores]
        return np.stack([self.films.scores, self.films.variants[variant], *found], axis=1)


def require_served(
    directory: Path, variant: Variant, *, test: WrittenDown, calibrate: WrittenDown, tolerance: float
) -> None:
    """Refuse a bundle that the serving runtime scores otherwise than the run did, or whose gate turns chest films away.

    Golden inputs, probabilities, findings and embeddings are computed again, with the worker's own code.
    """
    try:
        bundle = read_bundle(directory)
        scorer = Scorer(bundle, provider=Provider.CPU, threads=1)
        scorer.verify_golden()
    except BundleError as error:
        raise PublishRefused(f"serving: the bundle cannot be served: {error}") from error
    for written in (test, calibrate):
        scores = _scores(scorer, written.inputs)
        _require_equal(scores, written, variant, bundle.manifest.labels, tolerance)
    _require_open_gate(bundle, scores)


def _scores(scorer: Scorer, inputs: Inputs) -> list[Score]:
    blocks = [slice(start, start + _BATCH) for start in range(0, len(inputs), _BATCH)]
    age_sex = inputs.age_sex
    return [
        score
        for block in blocks
        for score in scorer.score(inputs.films[block], None if age_sex is None else age_sex[block])
    ]


def _require_equal(
    scores: list[Score], written: WrittenDown, variant: Variant, labels: tuple[str, ...], tolerance: float
) -> None:
    expected = written.expected(variant, labels)
    served = np.array(
        [[score.probability] * 2 + [finding.probability for finding in score.findings] for score in scores]
    )
    difference = float(np.abs(served[:, : expected.shape[1]] - expected).max())
    if not difference <= tolerance:
        raise PublishRefused(
            f"serving: the bundle's scores of {written.part} films differ by {difference:.1e} from what the run wrote "
            "down"
        )


def _require_open_gate(bundle: Bundle, scores: list[Score]) -> None:
    if bundle.manifest.gate is None or bundle.gate is None:
        return
    embeddings = [score.embedding for score in scores if score.embedding is not None]
    if len(embeddings) != len(scores):
        raise PublishRefused("gate: the graph answers without the embedding that its gate judges")
    try:
        gate = EmbeddingGate(mean=bundle.gate.mean, covariance=bundle.gate.covariance, limit=bundle.manifest.gate.limit)
    except BundleError as error:
        raise PublishRefused(f"gate: {error}") from error
    beyond = int(np.sum(~(gate.distances(np.stack(embeddings)) <= bundle.manifest.gate.limit)))
    if len(scores) >= _ENOUGH_FILMS and beyond > BEYOND_AT_MOST * len(scores):
        raise PublishRefused(
            f"gate: it turns {beyond} of {len(scores)} calibrate films away, allowed is {BEYOND_AT_MOST:.0%}"
        )
