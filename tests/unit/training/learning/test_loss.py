"""The loss is the recipe's sum of two cross-entropies, its findings weighed by class where a recipe says so."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn.functional import binary_cross_entropy, cross_entropy

from training.errors import RecipeError
from training.learning.loss import Labels, TriageLoss
from training.recipe import LossRecipe, NetworkRecipe

LOGITS = torch.tensor([[0.2, -0.4, 1.0, -2.0], [-1.0, 1.5, 0.3, 0.0]])
LABELS = Labels(unhealthy=torch.tensor([0, 1]), findings=torch.tensor([[0.0, 0.0], [1.0, 0.0]]))
# Of eight films two carry the first finding and one the second.
TRAIN = Labels(unhealthy=torch.ones(8, dtype=torch.int64), findings=torch.zeros((8, 2)))
TRAIN.findings[[0, 1], 0] = 1
TRAIN.findings[0, 1] = 1


def loss_of(*, any_finding: bool = True, train: Labels = TRAIN, **values: object) -> TriageLoss:
    network = NetworkRecipe(hidden=(), dropout=0.0, any_finding=any_finding, findings=("Mass", "Hernia"))
    return TriageLoss.of(LossRecipe.model_validate({"findings_weight": 1.0, **values}), network, train)


def test_findings_and_any_finding_are_weighed_as_the_recipe_says() -> None:
    any_finding = cross_entropy(LOGITS[:, :2], LABELS.unhealthy)
    findings = binary_cross_entropy(torch.sigmoid(LOGITS[:, 2:]), LABELS.findings)
    loss = loss_of(any_weight=0.5, findings_weight=2.0)(LOGITS, LABELS)
    assert float(loss) == pytest.approx(float(0.5 * any_finding + 2.0 * findings))


def test_without_findings_the_two_logits_are_all_there_is() -> None:
    labels = Labels(unhealthy=LABELS.unhealthy, findings=torch.zeros((2, 0)))
    loss = TriageLoss.of(LossRecipe(), NetworkRecipe(hidden=(), dropout=0.0), labels)(LOGITS[:, :2].bfloat16(), labels)
    assert loss.dtype == torch.float32
    assert float(loss) == pytest.approx(float(cross_entropy(LOGITS[:, :2], labels.unhealthy)), abs=1e-2)


def test_without_the_two_way_question_the_findings_are_all_there_is() -> None:
    loss = loss_of(any_finding=False, any_weight=0.0, findings_weight=2.0)(LOGITS[:, 2:], LABELS)
    expected = 2 * binary_cross_entropy(torch.sigmoid(LOGITS[:, 2:]), LABELS.findings)
    assert float(loss) == pytest.approx(float(expected))


@pytest.mark.parametrize(
    ("class_weights", "positive", "negative"),
    [("balanced", [6 / 2, 7 / 1], [1, 1]), ("frequency", [6 / 8, 7 / 8], [2 / 8, 1 / 8]), ("none", [1, 1], [1, 1])],
)
@pytest.mark.parametrize("any_finding", [True, False])
def test_class_weights_follow_from_the_films_in_train(
    class_weights: str, positive: list[float], negative: list[float], any_finding: bool
) -> None:
    """Against the sum written out: mean over films and findings of w+ y log p + w- (1 - y) log(1 - p)."""
    weighed = loss_of(any_finding=any_finding, any_weight=float(any_finding), class_weights=class_weights)
    logits = LOGITS if any_finding else LOGITS[:, 2:]
    p, y = torch.sigmoid(LOGITS[:, 2:]).double().numpy(), LABELS.findings.numpy()
    expected = -np.mean(np.array(positive) * y * np.log(p) + np.array(negative) * (1 - y) * np.log(1 - p))
    if any_finding:
        expected += float(cross_entropy(LOGITS[:, :2], LABELS.unhealthy))
    assert float(weighed(logits, LABELS)) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("class_weights", ["balanced", "frequency"])
@pytest.mark.parametrize(("value", "carried"), [(0.0, 0), (1.0, 8)])
def test_a_finding_that_divides_no_films_has_no_class_weight(class_weights: str, value: float, carried: int) -> None:
    train = Labels(unhealthy=TRAIN.unhealthy, findings=TRAIN.findings.clone())
    train.findings[:, 1] = value
    with pytest.raises(
        RecipeError,
        match=rf"the 8 train films .* for Hernia \(on {carried} of them\): leave that out of network\.findings",
    ):
        loss_of(train=train, class_weights=class_weights)
    loss_of(train=train)


def test_labels_are_taken_by_row() -> None:
    second = LABELS.rows([1])
    assert second.unhealthy.tolist() == [1]
    assert second.findings.tolist() == [[1.0, 0.0]]
