"""A decision is scored with all of its evidence, or not scored with none of it."""

from __future__ import annotations

import math

import pytest

from model.decision import Decision, Finding, Outcome, Policy, Score, decide, not_assessed
from model.errors import NonFiniteScore, Reason

POLICY = Policy(site="default", version=0, name="f3", threshold=0.4, model_digest="0" * 64)
FINDINGS = (Finding(label="Mass", probability=0.0), Finding(label="Effusion", probability=1.0))


@pytest.mark.parametrize(
    ("probability", "outcome"),
    [
        (0.4, Outcome.FLAGGED),
        (math.nextafter(0.4, 0), Outcome.NOT_FLAGGED),
        (0.0, Outcome.NOT_FLAGGED),
        (1.0, Outcome.FLAGGED),
    ],
)
def test_film_at_the_threshold_is_flagged_and_one_below_is_not(probability: float, outcome: Outcome) -> None:
    decision = decide(Score(probability=probability, findings=FINDINGS), POLICY)
    assert (decision.outcome, decision.probability, decision.threshold) == (outcome, probability, 0.4)
    assert decision.findings == FINDINGS, "as the network gave them, in its order"


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, -1e-6, 1 + 1e-6])
@pytest.mark.parametrize("place", ["probability", "finding"])
def test_a_number_that_is_no_probability_never_becomes_an_outcome(value: float, place: str) -> None:
    finding = Finding(label="Mass", probability=value if place == "finding" else 0.1)
    with pytest.raises(NonFiniteScore):
        decide(Score(probability=value if place == "probability" else 0.1, findings=(finding,)), POLICY)


def test_film_that_nobody_judged_has_a_reason_and_nothing_else() -> None:
    unread = not_assessed(Reason.BLANK)
    assert (unread.probability, unread.threshold, unread.policy, unread.findings) == (None, None, None, ())
    with pytest.raises(ValueError, match="a reason and nothing else"):
        Decision(outcome=Outcome.NOT_ASSESSED, reason=Reason.BLANK, findings=FINDINGS)
    with pytest.raises(ValueError, match="probability, threshold and policy"):
        Decision(outcome=Outcome.NOT_FLAGGED, probability=0.1, policy=POLICY)
