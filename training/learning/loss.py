"""What a wrong answer costs: the two-way question of every triage, and the findings beside it.

Unweighted by class: weighting was measured to cost AUC and calibration (ML.md §B). No smoothing of the labels: it would
floor the probability right where thresholds live.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from training.recipe import LossRecipe


@dataclass(frozen=True, kw_only=True)
class Labels:
    """``unhealthy`` ``(n,)`` int64 and ``findings`` ``(n, k)`` float32, both of 0 and 1; k may be 0."""

    unhealthy: Tensor
    findings: Tensor

    def rows(self, rows: Tensor | list[int]) -> Labels:
        """Return the labels of some films."""
        return Labels(unhealthy=self.unhealthy[rows], findings=self.findings[rows])

    def to(self, device: torch.device) -> Labels:
        """Return the labels on a device, without waiting for the copy."""
        return Labels(
            unhealthy=self.unhealthy.to(device, non_blocking=True), findings=self.findings.to(device, non_blocking=True)
        )


def triage_loss(logits: Tensor, labels: Labels, recipe: LossRecipe) -> Tensor:
    """Return the weighted sum of cross-entropy of the first two ``logits`` ``(n, 2 + k)`` and mean BCE of the rest."""
    logits = logits.float()
    loss = recipe.any_weight * cross_entropy(logits[:, :2], labels.unhealthy)
    if recipe.findings_weight:
        loss = loss + recipe.findings_weight * binary_cross_entropy_with_logits(logits[:, 2:], labels.findings)
    return loss
