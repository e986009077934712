"""How steeply a function rises between two places, so that the answer holds its digits also in a graph.

``(f(start + rise) - f(start)) / rise`` loses all of them where ``rise`` is small, and a network's hidden units rise by
anything from nothing to far beyond saturation. Every formula here is a quotient or a sum of positive terms instead,
made of operators that ONNX has (neither log1p nor expm1). Pure mathematics; ``explanation`` multiplies the slopes.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

# Below this, tanh(a) / a is 1 - a^2 / 3 to within 2e-9, less than float32 resolves.
_SERIES_BELOW = 1e-2
# Divides without changing a quotient that is clamped to 1 anyway.
_TINY = 1e-30
# Over an interval of length 1 the four places of Gauss and Legendre give the sigmoid's mean to 2e-9 of itself.
_MEAN_BELOW = 1.0
_PLACES, _WEIGHTS = (values.tolist() for values in np.polynomial.legendre.leggauss(4))


def logistic(logits: Tensor) -> Tensor:
    """Return probabilities that rise with their logits and stay within 0..1, also as onnxruntime computes them.

    Its own Sigmoid, an approximation by polynomials, reaches 1.0000001, gives 0 below -18 and orders neighbouring
    logits wrongly by up to 2.4e-7 (1.31.1 on a CPU, measured 2026-11-21): enough to swap two films at a threshold.
    """
    return 1 / (1 + torch.exp(-logits))


def tanh_slopes(start: Tensor, rise: Tensor) -> Tensor:
    """Return the slopes of tanh from ``start`` to ``start + rise``, of the shape that the two broadcast to.

    By the addition theorem they are ``tanh(a) / a * (1 - tanh(a + b) * tanh(b))`` for a rise of ``a`` from ``b``.
    """
    is_small = rise.abs() < _SERIES_BELOW
    divisor = torch.where(is_small, torch.ones_like(rise), rise)
    ratio = torch.where(is_small, 1 - rise * rise / 3, torch.tanh(divisor) / divisor)
    return ratio * (1 - torch.tanh(rise + start) * torch.tanh(start))


def relu_slopes(start: Tensor, rise: Tensor) -> Tensor:
    """Return the slopes of max(x, 0): the part of the way that lies above 0; without a way, 1 above 0 and 0 elsewhere.

    The higher end over the length of the way is more than 1 if both ends lie above 0, and less than 0 if both lie
    below.
    """
    return (torch.maximum(start, start + rise) / rise.abs().clamp(min=_TINY)).clamp(0, 1)


def softplus_slopes(start: Tensor, rise: Tensor) -> Tensor:
    """Return the slopes of log(1 + exp(x)): the sigmoid's mean over the way, precise to some 1e-7 of themselves."""
    low, high, length = torch.minimum(start, start + rise), torch.maximum(start, start + rise), rise.abs()
    near = torch.zeros_like(low)
    for place, weight in zip(_PLACES, _WEIGHTS, strict=True):
        near = near + weight / 2 * logistic(low + (place + 1) / 2 * length)
    # Above 0 softplus is x + log(1 + exp(-x)): the x are subtracted without a digit lost, and so are the logarithms.
    bent = _log_one_plus_exp(-high.abs()) - _log_one_plus_exp(-low.abs())
    far = (torch.relu(high) - torch.relu(low) + bent) / length.clamp(min=_MEAN_BELOW)
    return torch.where(length < _MEAN_BELOW, near, far)


def _log_one_plus_exp(exponent: Tensor) -> Tensor:
    """Return log(1 + exp(x)) for x up to 0, with all digits also where exp(x) is lost beside 1 (Kahan's correction)."""
    small = torch.exp(exponent)
    total = 1 + small
    is_lost = total == 1
    divisor = torch.where(is_lost, torch.ones_like(total), total - 1)
    return torch.where(is_lost, small, torch.log(total) * (small / divisor))
