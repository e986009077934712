"""Answers held against labels: what a history line says of select films, and what an epoch got right."""

from __future__ import annotations

from torch import Tensor

from training.datasets.labels import area_under_curve, mean_findings_auc
from training.learning.loss import Labels, TriageLoss
from training.learning.task import Judgement
from training.networks.answers import finding_logits, margin


def accuracy(logits: Tensor, labels: Labels, *, any_finding: bool) -> Tensor:
    """Return the share ``()`` of right answers at probability .5.

    Of the two-way question; for networks without one, of all labels of all findings, as Keras' binary accuracy is.
    """
    truth, called = _calls(logits, labels, any_finding=any_finding)
    return (truth == called).float().mean()


def judge_answers(logits: Tensor, labels: Labels, loss: TriageLoss) -> Judgement:
    """Return how ``logits`` ``(n, 2 * any_finding + k)`` answer ``labels``, all on the loss' device."""
    logits, any_finding = logits.float(), loss.any_finding
    truth, called = _calls(logits, labels, any_finding=any_finding)
    positives = int(truth.sum())
    return Judgement(
        auc=area_under_curve(labels.unhealthy, margin(logits, any_finding=any_finding)),
        findings_auc=mean_findings_auc(labels.findings, finding_logits(logits, any_finding=any_finding)),
        loss=float(loss(logits, labels)),
        accuracy=float((truth == called).double().mean()),
        recall=int((truth & called).sum()) / positives if positives else None,
    )


def _calls(logits: Tensor, labels: Labels, *, any_finding: bool) -> tuple[Tensor, Tensor]:
    """Return what is true and what is called, as booleans of one shape; a probability of just .5 calls nothing."""
    if any_finding:
        return labels.unhealthy > 0, margin(logits, any_finding=True) > 0
    return labels.findings > 0, logits > 0
