"""All findings together, as published multi-label systems count them, beside what a constant predictor gets that way.

Counting every (film, finding) pair as one case makes AUC and accuracy look good for free: telling a common finding
from a rare one is enough (ML.md §0). So the predictor that knows only each finding's share stands beside every figure.
Pure arithmetic on scored films; knows no network and no files.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import precision_recall_fscore_support

from training.statistics.anchors import wang_2017
from training.statistics.calibration import log_loss
from training.statistics.metrics import Floats, Labels, auc, confusion
from training.statistics.scored_films import ScoredFilms

POSITIVE_CLASS: Final = "finding present"
AVERAGES: Final = ("micro", "macro", "weighted", "samples")

_HALF = 0.5
_KERAS_THRESHOLDS = 200


@dataclass(frozen=True, kw_only=True)
class FindingsJudgement:
    """When a finding counts as called, and how common each is among train films (``{finding: share}``)."""

    threshold: float
    train_shares: Mapping[str, float]


def multilabel_figures(films: ScoredFilms, judgement: FindingsJudgement) -> dict[str, Any] | None:
    """Return the report's section ``multilabel`` of films with scores of findings; ``None`` without findings.

    A finding is called at or above the threshold (Keras: above, which differs for a score of exactly that value).
    ``macro_auc`` is the mean over the ``macro_auc_findings`` findings that some but not all films carry; the others
    have no AUC and a note. ``loss`` is the mean binary cross-entropy, probabilities held off 0 and 1 by 1e-7 as Keras
    does. Precision, recall and F1 are 0 where nothing was called or nothing is there.
    """
    if not films.truths:
        return None
    truths = np.stack(list(films.truths.values()), axis=1)
    scores = np.stack([films.finding_scores[name] for name in films.truths], axis=1)
    shares = np.broadcast_to([judgement.train_shares[name] for name in films.truths], scores.shape)
    findings = [_finding(films, name, judgement.threshold) for name in films.truths]
    areas = [found["auc"] for found in findings if found["auc"] is not None]
    published = [found for found in findings if found["auc"] is not None and found["wang_2017"] is not None]
    return {
        "positive_class": POSITIVE_CLASS,
        "threshold": judgement.threshold,
        "films": len(truths),
        **_flattened(truths, scores),
        "macro_auc": float(np.mean(areas)) if areas else None,
        "macro_auc_findings": len(areas),
        "binary_accuracy_at_threshold": _accuracy(truths, scores, judgement.threshold),
        "prevalence_only": _flattened(truths, shares),
        "all_negative_accuracy": float(np.mean(truths == 0)),
        "averages": averages(truths, scores >= judgement.threshold),
        "findings": findings,
        "above_wang_2017": sum(found["auc"] > found["wang_2017"] for found in published),
        "compared_with_wang_2017": len(published),
    }


def keras_auc(labels: Labels, scores: Floats) -> float | None:
    """Return the ROC AUC of scores ``(n,)`` in 0..1 as ``tf.keras.metrics.AUC()`` has it; ``None`` without a class.

    200 thresholds: -1e-7, 1/199 .. 198/199, 1 + 1e-7; a case is positive above a threshold; trapezoids between the
    points. Scores between two thresholds count as ties, so that rare findings with scores below .005 rank at random.
    Computed from the bucket of each score in float32, as Keras does it. Source: tf_keras 2.x,
    ``metrics/confusion_metrics.py`` (``AUC``, ``summation_method="interpolation"``) and ``utils/metrics_utils.py``
    (``_update_confusion_matrix_variables_optimized``).
    """
    intervals = _KERAS_THRESHOLDS - 1
    scaled = np.ceil(scores.astype(np.float32) * np.float32(intervals)).astype(np.int64) - 1
    bucket = np.clip(scaled, 0, intervals)
    positives, negatives = (
        np.bincount(bucket[labels == value], minlength=_KERAS_THRESHOLDS)[::-1].cumsum()[::-1] for value in (1, 0)
    )
    if not positives[0] or not negatives[0]:
        return None
    return float(np.trapezoid((positives / positives[0])[::-1], (negatives / negatives[0])[::-1]))


def averages(truths: NDArray[np.int64], called: NDArray[np.bool_]) -> dict[str, dict[str, float]]:
    """Return precision, recall, F1 and support of calls ``(n, k)``, averaged in each way that scikit-learn knows.

    ``samples`` averages over films; those without any finding count 0, as in the appendix of report 001.
    """
    # scikit-learn takes a single column for a two-class problem and then counts negatives too; a second column without
    # cases, kept out by ``labels``, says that this is one finding of several.
    padding = ((0, 0), (0, 1))
    padded, calls = np.pad(truths, padding), np.pad(called.astype(np.int64), padding)
    found = {}
    for name in AVERAGES:
        precision, recall, f1, _ = precision_recall_fscore_support(
            padded, calls, labels=list(range(truths.shape[1])), average=name, zero_division=0.0
        )
        found[name] = {
            "precision": float(precision),
            "recall": float(recall),
            "f1": float(f1),
            "support": int(truths.sum()),
        }
    return found


def _flattened(truths: NDArray[np.int64], scores: Floats) -> dict[str, float | None]:
    labels, flat = truths.ravel(), scores.ravel()
    return {
        "flattened_auc": auc(labels, flat),
        "keras_auc": keras_auc(labels, flat),
        "binary_accuracy": _accuracy(truths, scores, _HALF),
        "loss": log_loss(labels, flat),
    }


def _accuracy(truths: NDArray[np.int64], scores: Floats, threshold: float) -> float:
    return float(np.mean((scores >= threshold) == (truths == 1)))


def _finding(films: ScoredFilms, name: str, threshold: float) -> dict[str, Any]:
    truth, scores = films.truths[name], films.finding_scores[name]
    counted, area = confusion(truth, scores, threshold), auc(truth, scores)
    positives = int(truth.sum())
    called = counted.true_positives + counted.false_positives
    published = wang_2017(name)
    return {
        "finding": name,
        **asdict(counted),
        "precision": counted.true_positives / called if called else 0.0,
        "recall": counted.true_positives / positives if positives else 0.0,
        "f1": 2 * counted.true_positives / (called + positives) if called + positives else 0.0,
        "support": positives,
        "auc": area,
        "note": None if area is not None else f"no AUC: {positives:,} of {len(truth):,} films carry it",
        "wang_2017": None if published is None else published.auc,
        "wang_2017_is_confirmed": None if published is None else published.is_confirmed,
    }
