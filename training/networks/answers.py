"""What logits say of *any finding*. The recipe decides which logits there are; everything else asks here.

With ``any_finding`` the first two logits are healthy and unhealthy, and one follows for each finding. Without, there
are only those of the findings, and a film is healthy if it has none of them: P(unhealthy) = 1 - prod(1 - p), findings
taken as independent; calibration mends what that assumption costs.
"""

from __future__ import annotations

import torch
from torch import Tensor

_ANY = 2


def finding_logits(logits: Tensor, *, any_finding: bool) -> Tensor:
    """Return the logits ``(n, k)`` of the findings among ``logits`` ``(n, 2 + k)`` or ``(n, k)``."""
    return logits[:, _ANY:] if any_finding else logits


def margin(logits: Tensor, *, any_finding: bool) -> Tensor:
    """Return the log-odds of *any finding* ``(n,)`` before calibration; positive leans to unhealthy."""
    return logits[:, 1] - logits[:, 0] if any_finding else log_odds_of_any(logits)


def log_odds_of_any(logits: Tensor) -> Tensor:
    """Return the log-odds ``(n,)`` that one or more of ``k`` independent findings with ``logits`` ``(n, k)`` are there.

    Odds join as (1 + a)(1 + b) - 1 = a + b + ab: a sum of what is positive, so that nothing cancels however rare or
    sure the findings are. In pairs, because a graph pays for each operator. (ONNX has neither log1p nor expm1: by way
    of -log P(none) onnxruntime would lose a thousandth at log-odds of -10, and everything below -16.)
    """
    while logits.shape[1] > 1:
        half = logits.shape[1] // 2
        one, other, rest = logits[:, :half], logits[:, half : 2 * half], logits[:, 2 * half :]
        either = torch.stack([one, other, one + other]).logsumexp(dim=0)
        logits = torch.cat([either, rest], dim=1)
    return logits[:, 0]
