"""What decides: the bundle's operating point, lowered where the network is computed in another precision."""

from __future__ import annotations

from pathlib import Path

import pytest

from model.bundle import Bundle, read_bundle
from model.gate import GateSpec
from services.worker.serving import Serving
from tests.support.bundles import write_tiny_bundle


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return read_bundle(write_tiny_bundle(tmp_path / "tiny"))


def test_a_bundle_decides_by_its_own_threshold(bundle: Bundle) -> None:
    serving = Serving.of(bundle, operating_point=None, gate=GateSpec())
    assert serving.policy("north").threshold == bundle.manifest.operating_point().threshold


def test_a_margin_only_flags_more_and_is_what_records_say(bundle: Bundle) -> None:
    certified = bundle.manifest.operating_point()
    serving = Serving.of(bundle, operating_point=None, gate=GateSpec(), threshold_margin=0.01)
    policy = serving.policy("north")
    assert policy.threshold == serving.operating_point.threshold == pytest.approx(certified.threshold - 0.01)
    assert policy.name == certified.name
    assert Serving.of(bundle, operating_point=None, gate=GateSpec(), threshold_margin=1.0).policy("x").threshold == 0.0
