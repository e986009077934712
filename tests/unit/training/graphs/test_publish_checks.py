from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import pytest
from scipy.stats import binomtest

from tests.support.exports import export_facts
from tests.support.training_runs import tiny_recipe
from training.errors import PublishRefused
from training.graphs.certification import require_certified
from training.graphs.export_facts import GateFacts
from training.graphs.publish_checks import (
    BYTES_AT_MOST,
    require_faithful,
    require_one_graph,
    require_own_gate,
    require_small,
    require_unleaked,
)

GRAPH = b"the graph that ships"
DIGEST = hashlib.sha256(GRAPH).hexdigest()
# 257 positives with 6 below the threshold: the exact one-sided bound, from another library's function.
BOUND = binomtest(6, 257, alternative="less").proportion_ci(0.95, method="exact").high
CERTIFICATE = {
    "positives": 257, "misses": 6, "miss_bound": BOUND, "alpha": 0.05, "delta": 0.05, "certified_on": "2026-11-21",
}  # fmt: skip
RECIPE = tiny_recipe()


def point(name: str = "sens95", *, threshold: float = 0.2, **changes: object) -> dict[str, Any]:
    return {"name": name, "threshold": threshold, "evidence": "", "certificate": CERTIFICATE | changes}


F3 = {"name": "f3", "threshold": 0.1, "evidence": "", "certificate": None}


def refused(check: Callable[[], object], message: str) -> None:
    with pytest.raises(PublishRefused, match=message):
        check()


def test_a_split_that_shares_patients_is_refused() -> None:
    require_unleaked({"provenance": {"shared_patients": 0}}, RECIPE)
    refused(lambda: require_unleaked({"provenance": {"shared_patients": 3}}, RECIPE), "leakage: 3 patients")


def test_a_split_by_image_is_refused_also_where_no_patient_happens_to_be_shared() -> None:
    by_image = tiny_recipe(data={"split": "image"})
    refused(
        lambda: require_unleaked({"provenance": {"shared_patients": 0}}, by_image), "leakage: data.split is 'image'"
    )


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"parity_max_difference": None}, "parity: it was not measured"),
        ({"parity_max_difference": 2e-5}, "parity: probability differs by 2.0e-05, allowed is 1e-05"),
        ({"parity": {"probability": 0.0, "cam": 1e-4}}, "parity: cam differs"),
        ({"completeness_max_difference": 1.1e-5}, "completeness: the map of fp32 misses its margin"),
    ],
)
def test_an_unfaithful_graph_is_refused(changes: dict[str, object], said: str) -> None:
    require_faithful(export_facts(), RECIPE)
    refused(lambda: require_faithful(export_facts(**changes), RECIPE), said)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"auc_loss": 0.0021}, r"int8: it loses 0\.0021 of AUC, allowed is 0\.002"),
        ({"auc_loss": None}, "int8: it loses an unknown part"),
        ({"completeness_max_difference": 1.1e-5}, "completeness: the map of int8"),
    ],
)
def test_an_int8_graph_that_lost_too_much_is_refused_even_where_the_recipe_names_it(
    changes: dict[str, object], said: str
) -> None:
    require_faithful(export_facts(int8=True), RECIPE)
    refused(lambda: require_faithful(export_facts(int8=True, **changes), RECIPE), said)


@pytest.mark.parametrize("tolerant", [{"parity_tolerance": 0.1}, {"int8_auc_loss": 0.5}])
def test_a_recipe_cannot_allow_more_than_the_product_does(tolerant: dict[str, float]) -> None:
    recipe = tiny_recipe(export=tolerant)
    slack = {"parity_tolerance": 0.1, "completeness_tolerance": 0.1}
    for changes in (
        {"parity_max_difference": 2e-5, "parity": {}},
        {"parity": {"cam": 2e-5}},
        {"completeness_max_difference": 2e-5},
    ):
        refused(lambda changes=changes: require_faithful(export_facts(**slack, **changes), recipe), "allowed is 1e-05")
    refused(lambda: require_faithful(export_facts(int8=True, auc_loss=0.0021), recipe), r"allowed is 0\.002")


def test_only_the_gate_that_was_measured_ships() -> None:
    measured = {"limit": 9.0, "percentile": 99.5, "films": 60, "dimensions": 4}
    counts = {"calibrate_films": 40, "calibrate_films_beyond": 1}
    gate = GateFacts(sha256=hashlib.sha256(b"gate").hexdigest(), **measured, **counts)
    facts = export_facts().model_copy(update={"gate": gate})
    require_own_gate(b"gate", facts)
    require_own_gate(None, export_facts())
    refused(lambda: require_own_gate(b"another", facts), "gate: gate.npz is not the file that export measured")
    refused(lambda: require_own_gate(None, facts), "gate: gate.npz is not the file that export measured")


def consistent() -> tuple[Any, dict[str, Any], dict[str, Any]]:
    facts = export_facts(sha256=DIGEST)
    points = {"variants": {"fp32": {"graph_sha256": DIGEST, "points": []}}}
    return facts, points, {"operating_points": points, "export": facts.document()}


def test_thresholds_and_figures_must_be_of_the_graph_that_ships() -> None:
    facts, points, report = consistent()
    require_one_graph(GRAPH, facts, points, report)
    refused(lambda: require_one_graph(b"another", facts, points, report), "graph: fp32.onnx is not the file")
    other = {"variants": {"fp32": {"graph_sha256": "b" * 64, "points": []}}}
    refused(lambda: require_one_graph(GRAPH, facts, other, report), "certification: the thresholds were not made on")
    only_int8 = {"variants": {"int8": points["variants"]["fp32"]}}
    refused(
        lambda: require_one_graph(GRAPH, facts, only_int8, report), "certification: the thresholds were not made on"
    )
    older = report | {"operating_points": {}}
    refused(lambda: require_one_graph(GRAPH, facts, points, older), "report: it is about another export")
    for change in ({"temperature": 2.0}, {"calibration_offset": 0.1}, {"colour": "red"}):
        edited = report | {"export": facts.document() | change}
        refused(lambda edited=edited: require_one_graph(GRAPH, facts, points, edited), "report: it is about another")


def test_a_report_written_before_there_was_an_offset_is_still_about_its_export() -> None:
    facts, points, report = consistent()
    document = {name: value for name, value in facts.document().items() if not name.startswith("calibration_")}
    require_one_graph(GRAPH, facts, points, report | {"export": document})


def test_a_certificate_that_follows_from_its_own_numbers_is_accepted() -> None:
    require_certified([F3, point()], RECIPE)


def test_a_point_that_flags_everything_needs_no_certificate() -> None:
    require_certified([F3, point(threshold=0.0) | {"certificate": None}], RECIPE)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"misses": 7}, "7 misses of 257 bound the miss rate of sens95 by"),
        ({"positives": 300}, "6 misses of 300 bound"),
        ({"miss_bound": 0.01}, "its certificate says 0.0100"),
        ({"delta": 0.01}, "its certificate says"),
        ({"misses": 257}, "257 misses of 257 bound the miss rate of sens95 by 1.0000"),
        ({"alpha": 0.04}, r"promises a miss rate of 0\.04 at most, its bound is 0\.04"),
        ({"alpha": 0.2}, "for another promise than the recipe's"),
    ],
)
def test_a_certificate_that_does_not_follow_is_refused(changes: dict[str, object], said: str) -> None:
    refused(lambda: require_certified([F3, point(**changes)], RECIPE), said)


def test_a_certified_name_without_certificate_is_refused() -> None:
    refused(lambda: require_certified([F3, point() | {"certificate": None}], RECIPE), "no certificate")


def test_a_point_that_the_recipe_names_must_be_there() -> None:
    refused(lambda: require_certified([F3], RECIPE), "the operating points sens95 were not made")


def test_a_bundle_too_large_for_a_history_is_refused() -> None:
    assert require_small({"a": b"12", "b": b"3"}) == 3
    refused(lambda: require_small({"a": bytes(BYTES_AT_MOST + 1)}), "size: the bundle has 60000001 bytes")
