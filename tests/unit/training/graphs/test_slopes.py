from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from onnxruntime import InferenceSession
from torch import Tensor, nn

from training.graphs.graph import open_graph, quiet
from training.graphs.slopes import logistic, relu_slopes, softplus_slopes, tanh_slopes

RISES = (0.0, -0.0, 1e-38, -1e-12, 1e-7, -1e-4, 0.00999, 0.01001, -0.1, 0.999, -1.001, 3.0, -8.0, 40.0, -90.0)
STARTS = (0.0, 1e-6, -0.3, 2.0, -9.0, 30.0, -45.0, 60.0)
GRID = tuple(np.meshgrid(np.float32(STARTS), np.float32(RISES), indexing="ij"))

Slopes = Callable[[Tensor, Tensor], Tensor]
ALL: tuple[Slopes, ...] = (tanh_slopes, relu_slopes, softplus_slopes)


def exact(function: Callable[[np.ndarray], np.ndarray], derivative: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """The definition in long doubles; the derivative's integral where a difference would lose its digits."""
    start, rise = (values.astype(np.longdouble) for values in GRID)
    nodes, weights = np.polynomial.legendre.leggauss(24)
    near = sum(w / 2 * derivative(start + (p + 1) / 2 * rise) for p, w in zip(nodes, weights, strict=True))
    with np.errstate(divide="ignore", invalid="ignore"):
        far = (function(start + rise) - function(start)) / rise
    return np.where(np.abs(rise) < 0.5, near, far).astype(np.float64)


def sigmoid(values: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-values))


TANH = exact(np.tanh, lambda values: 1 / np.cosh(values) ** 2)
SOFTPLUS = exact(lambda values: np.maximum(values, 0) + np.log1p(np.exp(-np.abs(values))), sigmoid)


@cache
def exported() -> InferenceSession:
    """All slopes in one graph; exporting takes long, however little."""

    class Exported(nn.Module):
        def forward(self, start: Tensor, rise: Tensor) -> tuple[Tensor, ...]:
            return tuple(slopes(start, rise) for slopes in ALL)

    example = (torch.ones(GRID[0].shape), torch.ones(GRID[0].shape))
    with quiet():
        program = torch.onnx.export(
            Exported(), example, input_names=["start", "rise"], opset_version=20, dynamo=True, external_data=False,
            verbose=False,
        )  # fmt: skip
    assert program is not None
    return open_graph(program.model_proto.SerializeToString(), threads=1)


def in_onnxruntime(slopes: Slopes) -> Slopes:
    def run(start: Tensor, rise: Tensor) -> Tensor:
        answers = exported().run(None, {"start": start.numpy(), "rise": rise.numpy()})
        return torch.from_numpy(answers[ALL.index(slopes)])

    return run


@pytest.mark.parametrize("where", [lambda slopes: slopes, in_onnxruntime], ids=["torch", "onnxruntime"])
@pytest.mark.parametrize(
    ("slopes", "expected", "relative", "absolute"),
    [(tanh_slopes, TANH, 1e-6, 3e-7), (softplus_slopes, SOFTPLUS, 2e-6, 0.0)],
    ids=["tanh", "softplus"],
)
def test_slopes_are_those_of_the_secant_from_nothing_to_far_beyond_saturation(
    where: Callable[[Slopes], Slopes], slopes: Slopes, expected: np.ndarray, relative: float, absolute: float
) -> None:
    start, rise = (torch.from_numpy(values) for values in GRID)
    np.testing.assert_allclose(where(slopes)(start, rise).numpy(), expected, rtol=relative, atol=absolute)


@pytest.mark.parametrize("where", [lambda slopes: slopes, in_onnxruntime], ids=["torch", "onnxruntime"])
def test_relu_passes_on_the_part_of_the_way_above_nothing(where: Callable[[Slopes], Slopes]) -> None:
    start, rise = torch.zeros(GRID[0].shape), torch.zeros(GRID[0].shape)
    start[0, :7] = torch.tensor([1.0, -1.0, -1.0, 3.0, -1.0, 0.0, 2.0])
    rise[0, :7] = torch.tensor([5.0, 4.0, 0.5, -4.0, -2.0, 7.0, 1e-30])
    slopes = where(relu_slopes)(start, rise)
    assert slopes[0, :7].tolist() == [1.0, 0.75, 0.0, 0.75, 0.0, 1.0, 1.0]
    assert not slopes[1:].any()


def test_the_slope_without_a_way_is_the_tangent() -> None:
    start, nothing = torch.tensor(STARTS), torch.zeros(len(STARTS))
    torch.testing.assert_close(tanh_slopes(start, nothing), 1 - torch.tanh(start) ** 2)
    torch.testing.assert_close(softplus_slopes(start, nothing), torch.sigmoid(start))
    assert relu_slopes(start, nothing).tolist() == (start > 0).float().tolist()


@given(st.floats(-20, 20, width=32), st.floats(-100, 100, width=32))
def test_a_slope_times_its_way_is_what_the_function_rose(start: float, rise: float) -> None:
    begin, way = torch.tensor([start]), torch.tensor([rise])
    end = np.float64(start) + np.float64(rise)
    for slopes, function in (
        (tanh_slopes, np.tanh),
        (relu_slopes, lambda value: np.maximum(value, 0)),
        (softplus_slopes, lambda value: np.logaddexp(0, value)),
    ):
        risen = float(function(end) - function(np.float64(start)))
        # Between 16 and 32 the sum of both alone is rounded by up to 1e-6 in float32.
        assert float(slopes(begin, way)) * rise == pytest.approx(risen, abs=3e-6, rel=1e-6)


def test_probabilities_of_the_runtime_never_fall_where_logits_rise_and_stay_within_bounds() -> None:
    class Logistic(nn.Module):
        def forward(self, logits: Tensor) -> Tensor:
            return logistic(logits)

    logits = np.unique(np.linspace(-120, 120, 400_001, dtype=np.float32))
    with quiet():
        program = torch.onnx.export(
            Logistic(), (torch.from_numpy(logits),), input_names=["logits"], opset_version=20, dynamo=True,
            external_data=False, verbose=False,
        )  # fmt: skip
    assert program is not None
    session = open_graph(program.model_proto.SerializeToString(), threads=1)
    probabilities = session.run(None, {"logits": logits})[0]
    assert (np.diff(probabilities) >= 0).all()
    assert (probabilities.min(), probabilities.max()) == (0.0, 1.0)
    np.testing.assert_allclose(probabilities, 1 / (1 + np.exp(-logits.astype(np.float64))), rtol=0, atol=2e-7)
