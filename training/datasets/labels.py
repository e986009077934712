"""Labels and row numbers of the sample table, as arrays that torch and scikit-learn take."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score
from torch import Tensor

from training.datasets.sample import Part, Sample

Table = Sequence[tuple[Sample, Part]]


def labels_of(table: Table) -> NDArray[np.int64]:
    """Return 1 for unhealthy and 0 for healthy, ``(n,)``."""
    return np.array([sample.is_unhealthy for sample, _ in table], dtype=np.int64)


def findings_of(table: Table, labels: Sequence[str]) -> NDArray[np.float32]:
    """Return 1 where a film carries a label and 0 where it does not, ``(n, len(labels))``, in the order given."""
    return np.array([[label in sample.findings for label in labels] for sample, _ in table], dtype=np.float32).reshape(
        len(table), len(labels)
    )


def rows_of(table: Table, part: Part, *, leave_out_disputed: bool) -> list[int]:
    """Return the row numbers of one part; without films that a second reading called normal, if they are left out."""
    return [
        row
        for row, (sample, its_part) in enumerate(table)
        if its_part is part and not (leave_out_disputed and sample.is_disputed)
    ]


def area_under_curve(labels: Tensor, margins: Tensor) -> float:
    """Return the ROC AUC of ``margins`` ``(n,)`` for labels ``(n,)``; NaN where a margin is no finite number."""
    scores = margins.float().cpu().numpy()
    if not np.isfinite(scores).all():
        return math.nan
    return float(roc_auc_score(labels.cpu().numpy(), scores))


def mean_findings_auc(labels: Tensor, logits: Tensor) -> float | None:
    """Return the mean ROC AUC of the findings ``(n, k)`` by their own ``logits`` ``(n, k)``.

    Findings that all or none of the films carry have none; ``None`` where that leaves nothing.
    """
    truth, scores = labels.cpu().numpy(), logits.float().cpu().numpy()
    mixed = [column for column in range(truth.shape[1]) if 0 < truth[:, column].sum() < len(truth)]
    if not mixed or not np.isfinite(scores).all():
        return None
    return float(np.mean([roc_auc_score(truth[:, column], scores[:, column]) for column in mixed]))


def patients_of(table: Table) -> NDArray[np.str_]:
    """Return the patient of each film, ``(n,)``."""
    return np.array([sample.patient for sample, _ in table], dtype=np.str_)


def views_of(table: Table) -> NDArray[np.str_]:
    """Return the view of each film, ``(n,)``; ``unknown`` where the collection does not say."""
    return np.array([sample.view or "unknown" for sample, _ in table], dtype=np.str_)
