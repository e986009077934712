"""What decides: the bundle's operating point, lowered where the network is computed in another precision."""

from __future__ import annotations

from pathlib import Path

import pytest

from model.bundle import Bundle, read_bundle
from model.gate import GateSpec
from services.jobs.policies import SitePolicy
from services.jobs.records import ModelReference
from services.worker.serving import Serving
from tests.support.bundles import write_tiny_bundle


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return read_bundle(write_tiny_bundle(tmp_path / "tiny"))


def test_a_bundle_decides_by_its_own_threshold(bundle: Bundle) -> None:
    serving = Serving.of(bundle, operating_point=None, gate=GateSpec())
    assert serving.policy("north", None).threshold == bundle.manifest.operating_point().threshold


def test_a_margin_only_flags_more_and_is_what_records_say(bundle: Bundle) -> None:
    certified = bundle.manifest.operating_point()
    serving = Serving.of(bundle, operating_point=None, gate=GateSpec(), threshold_margin=0.01)
    policy = serving.policy("north", None)
    assert policy.threshold == serving.operating_point.threshold == pytest.approx(certified.threshold - 0.01)
    assert policy.name == certified.name
    assert (
        Serving.of(bundle, operating_point=None, gate=GateSpec(), threshold_margin=1.0).policy("x", None).threshold
        == 0.0
    )


def chosen(bundle: Bundle, threshold: float, *, site: str = "north", digest: str | None = None) -> SitePolicy:
    return SitePolicy(
        site=site,
        model=ModelReference(name="tiny", version="0.0.1", digest=digest or bundle.digest),
        name="custom",
        threshold=threshold,
        prevalence=None,
        sensitivity=None,
        specificity=None,
        evidence="none",
        sensitivity_floor=None,
        override_reason=None,
        by=None,
        version=7,
        at_ms=0,
    )


def test_what_a_site_chose_decides_lowered_by_the_same_margin(bundle: Bundle) -> None:
    serving = Serving.of(bundle, operating_point=None, gate=GateSpec(), threshold_margin=0.01)
    policy = serving.policy("north", chosen(bundle, 0.3))
    assert (policy.version, policy.name, policy.threshold) == (7, "custom", pytest.approx(0.29))
    assert serving.policy("north", chosen(bundle, 0.005)).threshold == 0.0


def test_a_policy_of_another_model_or_site_does_not_decide(bundle: Bundle) -> None:
    serving = Serving.of(bundle, operating_point=None, gate=GateSpec())
    for stranger in (chosen(bundle, 0.9, digest="f" * 64), chosen(bundle, 0.9, site="south")):
        assert serving.policy("north", stranger) == serving.policy("north", None)
