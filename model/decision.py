"""From probability to outcome, by an operating point. The last step of the walk; knows no images.

There is no "healthy" outcome: a film is flagged, not flagged, or not assessed with a reason, and probability and
threshold exist only beside the first two (DESIGN §2).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from model.errors import NonFiniteScore, Reason


class Outcome(StrEnum):
    """How a film ended."""

    FLAGGED = "flagged"
    NOT_FLAGGED = "not_flagged"
    NOT_ASSESSED = "not_assessed"

    @property
    def is_scored(self) -> bool:
        """Whether a probability stands behind this outcome."""
        return self is not Outcome.NOT_ASSESSED


@dataclass(frozen=True, kw_only=True)
class Finding:
    """Probability of one named finding."""

    label: str
    probability: float


@dataclass(frozen=True, kw_only=True)
class Score:
    """What the network said of one film.

    Attributes
    ----------
    probability
        Calibrated probability of *unhealthy*, in [0, 1].
    findings
        One a label, where the bundle has them.
    embedding
        ``(d,)`` float32, what the out-of-distribution gate looks at, where the bundle has one.
    activation
        ``(rows, columns)`` float32 class activation map over the whole tensor, where the bundle has one.
    """

    probability: float
    findings: tuple[Finding, ...] = ()
    embedding: NDArray[np.float32] | None = field(default=None, compare=False, repr=False)
    activation: NDArray[np.float32] | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, kw_only=True)
class Policy:
    """A site's chosen operating point, bound to one model digest. Version 0 is the bundle's own default."""

    site: str
    version: int
    name: str
    threshold: float
    model_digest: str


@dataclass(frozen=True, kw_only=True)
class Decision:
    """A film's end. Invariant: scored if and only if probability, threshold and policy are present.

    ``is_lateral`` says that an unread film is certainly a lateral, which does not rank beside a scored frontal.

    Raises
    ------
    ValueError
        If the invariant is broken; a record that breaks it must never be written.
    """

    outcome: Outcome
    reason: Reason | None = None
    probability: float | None = None
    threshold: float | None = None
    policy: Policy | None = None
    findings: tuple[Finding, ...] = ()
    is_lateral: bool = False

    def __post_init__(self) -> None:
        evidence = (self.probability, self.threshold, self.policy)
        if self.outcome.is_scored:
            if self.reason is not None or any(part is None for part in evidence):
                raise ValueError("a scored decision has probability, threshold and policy, and no reason")
        elif self.reason is None or any(part is not None for part in evidence) or self.findings:
            raise ValueError("a decision without a score has a reason and nothing else")
        if self.is_lateral and self.reason is not Reason.VIEW:
            raise ValueError("only a film that was not judged for its view is a lateral")


def decide(score: Score, policy: Policy) -> Decision:
    """Flag the film if and only if its probability is at or above the policy's threshold.

    Raises
    ------
    NonFiniteScore
        If any probability is NaN, infinite or outside [0, 1]; such a film must not get an outcome with a score.
    """
    values = (score.probability, *(finding.probability for finding in score.findings))
    if not all(math.isfinite(value) and 0.0 <= value <= 1.0 for value in values):
        raise NonFiniteScore("the network answered a probability that is not a number in [0, 1]")
    is_flagged = score.probability >= policy.threshold
    return Decision(
        outcome=Outcome.FLAGGED if is_flagged else Outcome.NOT_FLAGGED,
        probability=score.probability,
        threshold=policy.threshold,
        policy=policy,
        findings=score.findings,
    )


def not_assessed(reason: Reason, *, is_lateral: bool = False) -> Decision:
    """Return the decision of a film that nobody judged."""
    return Decision(outcome=Outcome.NOT_ASSESSED, reason=reason, is_lateral=is_lateral)
