"""The graphs that one network is exported as, what each is worth on calibrate films, and which of them ships."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime as ort

from model.demographics import AgeSex
from training.datasets.inputs import Inputs, age_sex_of, input_batches
from training.datasets.labels import Table
from training.graphs.explanation import explanation_base, explanation_bases
from training.graphs.export_facts import QuantisedFacts, ReferenceFacts, Variant, Variants
from training.graphs.graph import Answers, graph_outputs, open_graph, score_graph
from training.graphs.parity import COMPLETENESS_TOLERANCE, completeness, map_correlations, require_parity
from training.graphs.served import CAM, MARGIN, PROBABILITY, ServedNetwork, answer_network, feed
from training.networks.network import TriageNetwork
from training.recipe import ExportRecipe
from training.statistics.metrics import Floats, Labels, auc

_TIMED_RUNS = 15


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What variants are judged by: calibrate films, the first ``checked`` of them in detail.

    ``rows`` of ``table`` and of the tensor cache at ``path`` are the films, ``labels`` ``(n,)`` what they are.
    ``with_age_sex`` says whether the network asks for more than films.
    """

    path: Path
    table: Table
    rows: Sequence[int]
    labels: Labels
    checked: int
    threads: int
    with_age_sex: bool = False

    @property
    def checked_age_sex(self) -> AgeSex:
        """Age and sex ``(checked, 2)`` of the films checked in detail."""
        return age_sex_of([self.table[row] for row in self.rows[: self.checked]])

    def batches(self, count: int | None = None) -> Iterator[Inputs]:
        """Yield the first ``count`` films in blocks, all of them by default."""
        return input_batches(self.path, self.table, self.rows[:count], with_age_sex=self.with_age_sex)

    def scores(self, graph: bytes) -> Floats:
        """Return the graph's probabilities of all films."""
        return score_graph(graph, self.batches(), threads=self.threads)

    def details(self, graph: bytes, names: tuple[str, ...]) -> dict[str, Answers]:
        """Return everything the graph says of the films checked in detail."""
        return graph_outputs(graph, self.batches(self.checked), threads=self.threads, names=names)


def measure_reference(served: ServedNetwork, graph: bytes, evidence: Evidence, *, tolerance: float) -> ReferenceFacts:
    """Hold the fp32 graph against torch, and its map against its own margin.

    Raises
    ------
    ParityError
        If an output differs by more than ``tolerance``.
    """
    network = answer_network(served, evidence.batches(evidence.checked))
    answers = evidence.details(graph, served.output_names)
    differences = require_parity(network, answers, tolerance)
    bases = explanation_bases(served.network, evidence.checked_age_sex)
    return ReferenceFacts(
        sha256=hashlib.sha256(graph).hexdigest(),
        graph_bytes=len(graph),
        auc_calibrate=auc(evidence.labels, evidence.scores(graph)),
        explanation_base=explanation_base(served.network),
        completeness_max_difference=completeness(answers, bases),
        completeness_tolerance=COMPLETENESS_TOLERANCE,
        parity=differences,
        parity_max_difference=differences[PROBABILITY],
        parity_films=len(network[PROBABILITY]),
        parity_tolerance=tolerance,
    )


def measure_quantised(
    graph: bytes, reference: bytes, evidence: Evidence, *, network: TriageNetwork, range_films: int
) -> QuantisedFacts:
    """Hold the int8 graph against the fp32 one; the head of both is that of ``network``."""
    names = (CAM, MARGIN)
    bases = explanation_bases(network, evidence.checked_age_sex)
    answers, expected = evidence.details(graph, names), evidence.details(reference, names)
    scores, reference_scores = evidence.scores(graph), evidence.scores(reference)
    before, after = auc(evidence.labels, reference_scores), auc(evidence.labels, scores)
    differences = np.abs(scores - reference_scores)
    correlations = map_correlations(expected[CAM], answers[CAM])
    milliseconds, reference_milliseconds = _compared_speed(graph, reference, next(evidence.batches(1)))
    return QuantisedFacts(
        sha256=hashlib.sha256(graph).hexdigest(),
        graph_bytes=len(graph),
        auc_calibrate=after,
        explanation_base=explanation_base(network),
        completeness_max_difference=completeness(answers, bases),
        completeness_tolerance=COMPLETENESS_TOLERANCE,
        auc_loss=None if before is None or after is None else before - after,
        max_difference=float(differences.max()),
        mean_difference=float(differences.mean()),
        cam_correlation_median=float(np.median(correlations)) if len(correlations) else None,
        cam_correlation_lowest=float(correlations.min()) if len(correlations) else None,
        range_films=range_films,
        milliseconds=milliseconds,
        fp32_milliseconds=reference_milliseconds,
    )


def choose_variant(recipe: ExportRecipe, variants: Variants) -> tuple[Variant, str]:
    """Return which graph ships, and the sentence that says why."""
    int8 = variants.int8
    if recipe.ships != "best":
        return recipe.ships, f"the recipe asks for {recipe.ships}"
    if int8 is None:
        return "fp32", "no other variant was exported"
    if int8.auc_loss is None:
        return "fp32", "int8 cannot be judged: the calibrate films have no AUC"
    allowed = f"a loss of {recipe.int8_auc_loss:g} is allowed"
    measured = f"AUC of int8 differs by {-int8.auc_loss:+.4f} from fp32 on calibrate films, {allowed}"
    if not int8.completeness_max_difference <= int8.completeness_tolerance:
        return "fp32", f"the map of int8 misses its margin by {int8.completeness_max_difference:.1e}"
    if not int8.auc_loss <= recipe.int8_auc_loss:
        return "fp32", measured
    ratio = int8.fp32_milliseconds / int8.milliseconds
    size = int8.graph_bytes / variants.fp32.graph_bytes
    return "int8", f"{measured}; it takes {size:.0%} of the bytes and was {ratio:.1f} times as fast"


def _compared_speed(graph: bytes, reference: bytes, film: Inputs) -> tuple[float, float]:
    """Return median milliseconds of one film on one thread, taken in turn so that a busy machine slows both."""
    sessions = [open_graph(content, threads=1) for content in (graph, reference)]
    taken: list[list[float]] = [[], []]
    for _ in range(_TIMED_RUNS):
        for session, times in zip(sessions, taken, strict=True):
            times.append(_milliseconds(session, film))
    return float(np.median(taken[0])), float(np.median(taken[1]))


def _milliseconds(session: ort.InferenceSession, film: Inputs) -> float:
    fed = feed(film, {node.name for node in session.get_inputs()})
    began = time.perf_counter()
    session.run([PROBABILITY, CAM], fed)
    return 1000 * (time.perf_counter() - began)
