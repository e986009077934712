"""The measuring parts that need no service, on a tiny network: that they run and say what they should, not how fast."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.depth import AtDepth, growth, rows_of
from benchmarks.gpu import batcher_against_session
from benchmarks.model_limit import Cell, rows
from benchmarks.results import PartOptions
from benchmarks.scorer_speed import CannotScore, ScorerSpeed, Speed, scorer_speed
from model.runtime import Provider
from tests.support.bundles import write_tiny_bundle


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return write_tiny_bundle(tmp_path / "bundle")


def test_scorer_is_measured_at_every_batch_size_in_a_process_of_its_own(bundle: Path) -> None:
    found = scorer_speed(bundle, threads=1, batches=[1, 4], seconds=0.01)
    assert (found.bundle, found.provider, found.precision, found.threads) == ("tiny", "cpu", "fp32", 1)
    assert [speed.batch for speed in found.speeds] == [1, 4]
    assert all(speed.per_second > 0 and speed.calls >= 5 for speed in found.speeds)
    assert len(set(found.probabilities)) > 1


def test_provider_that_is_not_there_is_no_figure(bundle: Path) -> None:
    with pytest.raises(CannotScore, match="tensorrt"):
        scorer_speed(bundle, provider="tensorrt", threads=1, batches=[1], seconds=0.01)


def test_batcher_and_bare_session_are_measured_on_the_same_tensors(bundle: Path) -> None:
    found = batcher_against_session(bundle, Provider.CPU, batch=4, batches=5)
    assert (found["network"], found["batch"]) == ("bundle", 4)
    assert found["session"] > 0
    assert found["batcher"] > 0


def test_growth_is_the_slope_after_the_first_third() -> None:
    samples = [(float(second), 100.0 + (50.0 if second < 3 else second)) for second in range(12)]
    assert growth(samples) == pytest.approx(60.0)


def test_cost_is_told_against_every_smaller_depth_and_has_its_goal_against_the_smallest() -> None:
    held = {role: [(float(second), 100.0) for second in range(6)] for role in ("gateway", "worker")}
    found = [
        AtDepth(depth=depth, films=100, per_second=50.0, ms_per_film=cost, by_role_ms={}, memory=held)
        for depth, cost in ((10, 4.0), (1_000, 3.0), (10_000, 4.4))
    ]
    goal, told, *memory = rows_of(found, PartOptions(is_quick=False, directory=Path()))
    assert (goal.measured, goal.met) == (pytest.approx(1.1), False)
    assert (told.measured, told.goal) == (pytest.approx(4.4 / 3.0), None)
    assert [row.measured for row in memory] == pytest.approx([0.0, 0.0], abs=1e-9)


def cell(precision: str, provider: str) -> Cell:
    place = Path("resnet50-224")
    return Cell(network="ResNet50 224", bundle=place, provider=provider, precision=precision, threads=2)


def speed(per_second: float, probability: float) -> ScorerSpeed:
    speeds = (Speed(batch=1, per_second=per_second, cpu_ms=2000 / per_second, calls=5),)
    told = {"bundle": "resnet50-224", "provider": "cpu", "precision": "fp32"}
    return ScorerSpeed(**told, threads=2, speeds=speeds, probabilities=(probability,))


def test_precisions_are_told_against_fp32_and_what_is_missing_says_why() -> None:
    found = {cell("fp32", "cpu"): speed(50, 0.5), cell("bf16", "openvino"): speed(100, 0.508)}
    told = {row.row: row for row in rows(found, {cell("int8", "openvino"): "no wheel here"})}
    gain = told["ResNet50 224, openvino bf16 against cpu fp32"]
    assert (gain.measured, gain.met) == (2.0, True)
    assert told["ResNet50 224, bf16: largest change of a probability"].measured == pytest.approx(0.008)
    missing = told["ResNet50 224, openvino int8 against cpu fp32"]
    assert (missing.measured, missing.note) == (None, "no wheel here")
