"""The loss is the recipe's sum of two plain cross-entropies."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import binary_cross_entropy, cross_entropy

from training.learning.loss import Labels, triage_loss
from training.recipe import LossRecipe

LOGITS = torch.tensor([[0.2, -0.4, 1.0, -2.0], [-1.0, 1.5, 0.3, 0.0]])
LABELS = Labels(unhealthy=torch.tensor([0, 1]), findings=torch.tensor([[0.0, 0.0], [1.0, 0.0]]))


def test_findings_and_any_finding_are_weighed_as_the_recipe_says() -> None:
    any_finding = cross_entropy(LOGITS[:, :2], LABELS.unhealthy)
    findings = binary_cross_entropy(torch.sigmoid(LOGITS[:, 2:]), LABELS.findings)
    loss = triage_loss(LOGITS, LABELS, LossRecipe(any_weight=0.5, findings_weight=2.0))
    assert float(loss) == pytest.approx(float(0.5 * any_finding + 2.0 * findings))


def test_without_findings_the_two_logits_are_all_there_is() -> None:
    labels = Labels(unhealthy=LABELS.unhealthy, findings=torch.zeros((2, 0)))
    loss = triage_loss(LOGITS[:, :2].bfloat16(), labels, LossRecipe())
    assert loss.dtype == torch.float32
    assert float(loss) == pytest.approx(float(cross_entropy(LOGITS[:, :2], labels.unhealthy)), abs=1e-2)


def test_labels_are_taken_by_row() -> None:
    second = LABELS.rows([1])
    assert second.unhealthy.tolist() == [1]
    assert second.findings.tolist() == [[1.0, 0.0]]
