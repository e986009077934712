"""What a wrong answer costs: the two-way question of every triage, and the findings beside it or alone.

Unweighted by class unless a recipe repeats others: weighting was measured to cost AUC and calibration (ML.md §B). No
smoothing of the labels: it would floor the probability right where thresholds live.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from training.errors import RecipeError
from training.networks.answers import finding_logits
from training.recipe import LossRecipe, NetworkRecipe


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


@dataclass(frozen=True, kw_only=True)
class ClassWeights:
    """What an error on a film with the finding (``positive``) and without it (``negative``) counts, ``(k,)`` each."""

    positive: Tensor
    negative: Tensor

    @classmethod
    def of(cls, recipe: LossRecipe, names: tuple[str, ...], train: Tensor) -> Self | None:
        """Return the weights for findings ``(n, k)`` of the train films; ``None`` where the recipe weighs none.

        ``balanced`` is N/P for positives; ``frequency`` is N/(P+N) and P/(P+N) (Rajpurkar et al., arXiv:1711.05225,
        §2.1), P films with the finding and N without it.

        Raises
        ------
        RecipeError
            If findings are on none or on all of the films; names them.
        """
        if recipe.class_weights == "none":
            return None
        positives = train.sum(dim=0)
        negatives = len(train) - positives
        counted = zip(names, positives.tolist(), strict=True)
        one_sided = [f"{name} (on {count:.0f} of them)" for name, count in counted if count in (0, len(train))]
        if one_sided:
            raise RecipeError(
                f'class_weights = "{recipe.class_weights}" weighs each finding by the {len(train)} train films with '
                f"and without it, which cannot be done for {', '.join(one_sided)}: leave that out of network.findings, "
                f'or set loss.class_weights = "none"'
            )
        if recipe.class_weights == "balanced":
            return cls(positive=negatives / positives, negative=torch.ones_like(negatives))
        return cls(positive=negatives / len(train), negative=positives / len(train))

    def to(self, device: torch.device) -> ClassWeights:
        """Return the weights on a device."""
        return ClassWeights(positive=self.positive.to(device), negative=self.negative.to(device))


@dataclass(frozen=True, kw_only=True)
class TriageLoss:
    """The weighted sum of cross-entropy of the two-way question and mean binary cross-entropy of the findings.

    ``weights`` are those of the findings, on the device of the logits.
    """

    recipe: LossRecipe
    any_finding: bool
    weights: ClassWeights | None = None

    @classmethod
    def of(cls, loss: LossRecipe, network: NetworkRecipe, train: Labels) -> Self:
        """Return the loss of a recipe's two sections, with class weights of the labels of all train films.

        Raises
        ------
        RecipeError
            As ``ClassWeights.of``.
        """
        weights = ClassWeights.of(loss, network.findings, train.findings)
        return cls(recipe=loss, any_finding=network.any_finding, weights=weights)

    def to(self, device: torch.device) -> TriageLoss:
        """Return the loss of logits on a device."""
        weights = None if self.weights is None else self.weights.to(device)
        return TriageLoss(recipe=self.recipe, any_finding=self.any_finding, weights=weights)

    def __call__(self, logits: Tensor, labels: Labels) -> Tensor:
        """Return the mean loss of a film ``()`` for ``logits`` ``(n, 2 * any_finding + k)``."""
        logits = logits.float()
        if not self.any_finding:
            return self.recipe.findings_weight * self._findings_loss(logits, labels.findings)
        loss = self.recipe.any_weight * cross_entropy(logits[:, :2], labels.unhealthy)
        if self.recipe.findings_weight:
            loss = loss + self.recipe.findings_weight * self._findings_loss(logits, labels.findings)
        return loss

    def _findings_loss(self, logits: Tensor, findings: Tensor) -> Tensor:
        weight = None
        if self.weights is not None:
            weight = torch.where(findings > 0, self.weights.positive, self.weights.negative)
        return binary_cross_entropy_with_logits(
            finding_logits(logits, any_finding=self.any_finding), findings, weight=weight
        )
