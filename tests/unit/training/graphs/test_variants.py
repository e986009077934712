from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.support.exports import KINDS, drawn_films, export_facts, export_of, small_export
from training.datasets.sample import Part, Sample
from training.errors import ParityError, RunError
from training.graphs.explanation import explanation_base
from training.graphs.export_facts import Variants, read_export_facts, write_export_facts
from training.graphs.graph import pack_graph
from training.graphs.served import ServedNetwork
from training.graphs.variants import Evidence, choose_variant, measure_quantised, measure_reference
from training.recipe import ExportRecipe

BEST = ExportRecipe(variants=("fp32", "int8"), ships="best", int8_auc_loss=0.002)


@pytest.fixture(scope="module")
def graph() -> bytes:
    return pack_graph(small_export().proto, half_precision_weights=True)


@pytest.fixture
def evidence(tmp_path: Path) -> Evidence:
    path = tmp_path / "tensors.npy"
    np.save(path, drawn_films(12))
    samples = [
        Sample(id=str(row), path=Path(), patient=str(row), findings=(), age_years=None if row % 3 else 6 * row, sex="M")
        for row in range(12)
    ]
    table = [(sample, Part.CALIBRATE) for sample in samples]
    return Evidence(path=path, table=table, rows=range(2, 12), labels=np.arange(10) % 2, checked=4, threads=1)


def variants(**changes: object) -> Variants:
    return export_facts(int8=True, **changes).variants


def test_best_is_int8_where_it_costs_no_more_than_allowed() -> None:
    ships, why = choose_variant(BEST, variants(auc_loss=0.002))
    assert ships == "int8"
    assert why == (
        "AUC of int8 differs by -0.0020 from fp32 on calibrate films, a loss of 0.002 is allowed; "
        "it takes 50% of the bytes and was 3.0 times as fast"
    )


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"auc_loss": 0.0021}, "a loss of 0.002 is allowed"),
        ({"auc_loss": None}, "cannot be judged"),
        ({"completeness_max_difference": 2e-5}, "misses its margin"),
    ],
)
def test_best_is_fp32_where_int8_costs_more_or_cannot_be_judged(changes: dict[str, float], said: str) -> None:
    ships, why = choose_variant(BEST, variants(**changes))
    assert ships == "fp32"
    assert said in why


def test_best_of_one_variant_is_that_one() -> None:
    assert choose_variant(ExportRecipe(ships="best"), export_facts().variants)[0] == "fp32"


def test_a_recipe_that_names_a_variant_gets_it() -> None:
    asked = ExportRecipe(variants=("fp32", "int8"), ships="int8")
    assert choose_variant(asked, variants(auc_loss=0.3)) == ("int8", "the recipe asks for int8")


def test_the_reference_is_held_against_torch_and_against_its_own_margin(graph: bytes, evidence: Evidence) -> None:
    facts = measure_reference(small_export().served, graph, evidence, tolerance=1e-5)
    assert facts.sha256 == hashlib.sha256(graph).hexdigest()
    assert facts.parity_films == 4
    assert facts.parity_max_difference is not None
    assert facts.parity_max_difference <= 1e-5
    assert facts.completeness_max_difference <= facts.completeness_tolerance == 1e-5


def test_age_and_sex_of_the_films_go_with_them_and_into_their_base(evidence: Evidence) -> None:
    served = export_of(KINDS["residual"]).served
    packed = pack_graph(export_of(KINDS["residual"]).proto, half_precision_weights=True)
    with_age_sex = replace(evidence, with_age_sex=True)
    facts = measure_reference(served, packed, with_age_sex, tolerance=1e-5)
    assert facts.completeness_max_difference <= 1e-5
    assert facts.explanation_base == explanation_base(served.network)
    assert np.abs(evidence.scores(packed) - with_age_sex.scores(packed)).max() > 1e-4


def test_a_graph_of_another_network_is_no_reference(graph: bytes, evidence: Evidence) -> None:
    served = small_export().served
    other = ServedNetwork(served.network, temperature=2.5, embedding=served.embedding).eval()
    with pytest.raises(ParityError, match="probability differs"):
        measure_reference(other, graph, evidence, tolerance=1e-5)


def test_a_variant_that_is_the_reference_loses_nothing(graph: bytes, evidence: Evidence) -> None:
    facts = measure_quantised(graph, graph, evidence, network=small_export().served.network, range_films=8)
    assert (facts.auc_loss, facts.max_difference, facts.mean_difference) == (0.0, 0.0, 0.0)
    assert facts.cam_correlation_lowest == pytest.approx(1.0)
    assert facts.milliseconds > 0


@pytest.mark.parametrize("int8", [False, True])
def test_facts_are_read_as_they_were_written(int8: bool, tmp_path: Path) -> None:
    path = tmp_path / "export.json"
    write_export_facts(path, export_facts(int8=int8))
    assert read_export_facts(path) == export_facts(int8=int8)
    assert ("int8" in export_facts(int8=int8).document()["variants"]) is int8


def test_facts_that_were_written_before_there_was_an_offset_have_none(tmp_path: Path) -> None:
    path, document = tmp_path / "export.json", export_facts().document()
    del document["calibration_offset"], document["calibration_remark"]
    path.write_text(json.dumps(document))
    assert read_export_facts(path) == export_facts()


def test_facts_of_another_version_name_the_file_and_the_step(tmp_path: Path) -> None:
    path = tmp_path / "export.json"
    with pytest.raises(RunError, match="cannot read"):
        read_export_facts(path)
    path.write_text('{"temperature": 1.1}')
    with pytest.raises(RunError, match="is not what this version's export writes: repeat the step export"):
        read_export_facts(path)


def test_a_variant_that_was_not_exported_is_named() -> None:
    with pytest.raises(RunError, match="no int8 graph"):
        export_facts().variants.named("int8")
