"""What logits say of any finding, with logits of its own and from the findings alone."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from training.networks.answers import finding_logits, margin


def test_with_any_finding_the_margin_is_between_the_first_two_logits() -> None:
    logits = torch.tensor([[1.0, 3.0, 7.0, 8.0], [2.0, -1.0, 5.0, 6.0]])
    assert margin(logits, any_finding=True).tolist() == [2.0, -3.0]
    assert finding_logits(logits, any_finding=True).tolist() == [[7.0, 8.0], [5.0, 6.0]]


@given(st.lists(st.floats(-12, 12), min_size=1, max_size=14))
def test_findings_alone_make_a_film_unhealthy_if_it_is_not_free_of_all(values: list[float]) -> None:
    logits = torch.tensor([values], dtype=torch.float64)
    healthy = float((1 - torch.sigmoid(logits)).prod())
    found = float(torch.sigmoid(margin(logits, any_finding=False)))
    assert found == pytest.approx(1 - healthy, rel=1e-9, abs=1e-12)
    assert finding_logits(logits, any_finding=False) is logits


def test_one_finding_alone_is_as_likely_as_any() -> None:
    logits = torch.linspace(-30, 30, 61).unsqueeze(1)
    torch.testing.assert_close(margin(logits, any_finding=False), logits[:, 0], rtol=1e-5, atol=1e-5)


def test_the_surest_answers_are_finite_and_every_rise_of_a_logit_raises_the_margin() -> None:
    rising = torch.linspace(-60, 60, 241).unsqueeze(1)
    margins = margin(rising.expand(-1, 14), any_finding=False)
    assert margins.isfinite().all()
    assert (margins.diff() > 0).all()
