"""What a history line says of answers is what scikit-learn says of them."""

from __future__ import annotations

import math

import pytest
import torch
from sklearn.metrics import accuracy_score, recall_score, roc_auc_score

from training.learning.judging import accuracy, judge_answers
from training.learning.loss import Labels, TriageLoss
from training.recipe import LossRecipe, NetworkRecipe

FILMS = 40
FINDINGS = ("Mass", "Nodule", "Hernia")


def drawn(*, any_finding: bool) -> tuple[torch.Tensor, Labels, TriageLoss]:
    generator = torch.Generator().manual_seed(3)
    findings = (torch.rand((FILMS, 3), generator=generator) < 0.3).float()
    findings[:, 2] = 0
    labels = Labels(unhealthy=(findings.sum(dim=1) > 0).long(), findings=findings)
    logits = torch.randn((FILMS, 3 + 2 * any_finding), generator=generator)
    network = NetworkRecipe(hidden=(), dropout=0.0, any_finding=any_finding, findings=FINDINGS)
    recipe = LossRecipe(any_weight=float(any_finding), findings_weight=1.0)
    return logits, labels, TriageLoss.of(recipe, network, labels)


def test_the_two_way_question_is_judged_where_it_is_asked() -> None:
    logits, labels, loss = drawn(any_finding=True)
    judged = judge_answers(logits, labels, loss)
    truth, called = labels.unhealthy.numpy(), logits[:, :2].argmax(dim=1).numpy()
    assert judged.accuracy == pytest.approx(accuracy_score(truth, called))
    assert judged.recall == pytest.approx(recall_score(truth, called))
    assert judged.auc == pytest.approx(roc_auc_score(truth, torch.softmax(logits[:, :2], dim=1)[:, 1].numpy()))
    assert judged.loss == float(loss(logits, labels))
    assert float(accuracy(logits, labels, any_finding=True)) == pytest.approx(judged.accuracy)


def test_findings_alone_are_judged_over_all_their_labels() -> None:
    """Keras' binary_accuracy and Recall flatten films and labels; a finding that nothing carries has no AUC."""
    logits, labels, loss = drawn(any_finding=False)
    judged = judge_answers(logits, labels, loss)
    truth, called = labels.findings.flatten().numpy(), (torch.sigmoid(logits) > 0.5).flatten().numpy()
    assert judged.accuracy == pytest.approx(accuracy_score(truth, called))
    assert judged.recall == pytest.approx(recall_score(truth, called))
    assert float(accuracy(logits, labels, any_finding=False)) == pytest.approx(judged.accuracy)
    p = torch.sigmoid(logits.double())
    assert judged.auc == pytest.approx(roc_auc_score(labels.unhealthy.numpy(), 1 - (1 - p).prod(dim=1).numpy()))
    single = [roc_auc_score(labels.findings[:, column].numpy(), logits[:, column].numpy()) for column in (0, 1)]
    assert judged.findings_auc == pytest.approx(sum(single) / 2)


def test_a_probability_of_just_a_half_calls_nothing() -> None:
    labels = Labels(unhealthy=torch.tensor([0, 1]), findings=torch.zeros((2, 0)))
    assert float(accuracy(torch.zeros((2, 2)), labels, any_finding=True)) == 0.5
    assert float(accuracy(torch.tensor([[0.0, -1.0], [0.0, 0.1]]), labels, any_finding=True)) == 1


def test_without_positives_there_is_no_recall() -> None:
    logits, labels, loss = drawn(any_finding=False)
    nothing = Labels(unhealthy=labels.unhealthy, findings=torch.zeros_like(labels.findings))
    judged = judge_answers(logits, nothing, loss)
    assert judged.recall is None
    assert judged.findings_auc is None


def test_an_answer_that_is_no_number_has_no_auc() -> None:
    logits, labels, loss = drawn(any_finding=True)
    logits[3] = math.nan
    judged = judge_answers(logits, labels, loss)
    assert math.isnan(judged.auc)
    assert math.isnan(judged.loss)
    assert judged.findings_auc is None
