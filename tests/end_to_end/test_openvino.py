"""The other build of onnxruntime, for real: fp32, bf16 and int8 through OpenVINO, and a whole stack that says so."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from model.bundle import Bundle, pack_golden, read_bundle, write_bundle
from model.manifest import GOLDEN_FILE, NETWORK_FILE
from model.runtime.precision import golden_tolerance, has_bf16
from services.jobs.records import Record
from services.worker.bundles import default_bundle_directory
from tests.support.bundles import write_tiny_bundle
from tests.support.films import png_film
from tests.support.openvino import openvino_python
from tests.support.stack import StackProcess

ROOT = Path(__file__).resolve().parents[2]
PROBE_SECONDS = 240.0

pytestmark = pytest.mark.downloads


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return openvino_python(tmp_path_factory.mktemp("openvino") / "venv")


@pytest.fixture(scope="module")
def shipped() -> Bundle:
    return read_bundle(default_bundle_directory())


def probe(python: Path, bundle: Path, *pairs: str) -> list[dict[str, Any]]:
    command = [str(python), "-m", "tests.support.openvino_probe", str(bundle), *pairs]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=PROBE_SECONDS, check=False)
    assert done.returncode == 0, done.stderr
    answers: list[dict[str, Any]] = json.loads(done.stdout)  # what onnxruntime would print of a fallback is no JSON
    return answers


def rewritten(directory: Path, network: onnx.ModelProto, **manifest: object) -> Path:
    """Write the tiny bundle with another graph."""
    tiny = read_bundle(write_tiny_bundle(directory / "tiny"))
    contents = {NETWORK_FILE: bytes(network.SerializeToString()), GOLDEN_FILE: pack_golden(tiny.golden_tensors)}
    write_bundle(directory / "rewritten", tiny.manifest.model_copy(update=manifest), contents)
    return directory / "rewritten"


def test_fp32_answers_as_the_cpu_does_and_bf16_within_its_tolerance(python: Path, shipped: Bundle) -> None:
    cpu, fp32, bf16, unnamed = probe(
        python, default_bundle_directory(), "cpu", "auto", "openvino", "auto", "openvino", "bf16", "auto", "auto"
    )
    assert (cpu["provider"], unnamed["provider"]) == ("cpu", "cpu")
    assert (fp32["provider"], fp32["precision"]) == ("openvino", "fp32")
    np.testing.assert_allclose(fp32["probabilities"], cpu["probabilities"], atol=1e-5)
    if not has_bf16():
        assert bf16["refused"] == "provider_unavailable"
        assert "no bf16 instructions" in bf16["said"]
        return
    assert (bf16["provider"], bf16["precision"]) == ("openvino", "bf16")
    moved = np.abs(np.array(bf16["probabilities"]) - cpu["probabilities"]).max()
    assert 1e-5 < moved <= golden_tolerance(shipped.manifest.precision, 0.01), "it is computed in bf16, not in fp32"


def test_a_quantised_graph_is_taken_whole(python: Path, tmp_path: Path) -> None:
    network = onnx.load(write_tiny_bundle(tmp_path / "plain") / NETWORK_FILE)
    network.graph.initializer.append(helper.make_tensor("step", TensorProto.FLOAT, [], [1.0]))
    network.graph.initializer.append(helper.make_tensor("origin", TensorProto.UINT8, [], [0]))
    network.graph.node[0].output[0] = "exact"
    network.graph.node.insert(1, helper.make_node("QuantizeLinear", ["exact", "step", "origin"], ["levels"]))
    network.graph.node.insert(2, helper.make_node("DequantizeLinear", ["levels", "step", "origin"], ["pixels"]))
    bundle = rewritten(tmp_path, network, precision="int8")
    for answer in probe(python, bundle, "openvino", "auto", "openvino", "fp32"):
        assert (answer["provider"], answer["precision"]) == ("openvino", "int8")


def test_a_graph_that_openvino_takes_in_part_is_refused_by_name(python: Path, tmp_path: Path) -> None:
    network = onnx.load(write_tiny_bundle(tmp_path / "plain") / NETWORK_FILE)
    # The determinant of a matrix of one number is that number, and no operator of OpenVINO's.
    network.graph.node[-1].output[0] = "number"
    network.graph.initializer.append(helper.make_tensor("sides", TensorProto.INT64, [2], [1, 2]))
    network.graph.node.append(helper.make_node("Unsqueeze", ["number", "sides"], ["matrix"]))
    network.graph.node.append(helper.make_node("Det", ["matrix"], ["probability"]))
    cpu, openvino = probe(python, rewritten(tmp_path, network), "cpu", "auto", "openvino", "auto")
    assert cpu["provider"] == "cpu"
    assert openvino["refused"] == "provider_unavailable"


@pytest.mark.timeout(600)
def test_a_stack_says_where_and_in_what_it_computes_and_decides_by_a_lower_threshold(
    python: Path, shipped: Bundle, tmp_path: Path
) -> None:
    precision = "bf16" if has_bf16() else "fp32"
    settings = {"worker_provider": "openvino", "worker_precision": precision, "worker_threads": 1}
    with (
        StackProcess(tmp_path, bundle=default_bundle_directory(), python=python, **settings) as stack,
        stack.client() as client,
    ):
        answered = client.get("/v1/models").json()
        response = client.post(
            "/v1/instances", content=png_film(seed=1), headers={"Content-Type": "image/png"}, params={"wait": 30}
        )
    (served,), (worker,) = answered["models"], answered["workers"]
    assert (served["providers"], served["precision"]) == (["openvino"], "fp32")
    assert served["inference_precisions"] == [precision]
    assert (worker["provider"], worker["precision"], worker["threads"]) == ("openvino", precision, 1)
    certified = shipped.manifest.operating_point().threshold
    assert served["threshold"] == pytest.approx(certified - (0.01 if precision == "bf16" else 0.0))
    record = Record.model_validate_json(response.content)
    assert record.outcome is not None
    assert not record.outcome.is_scored or record.threshold == served["threshold"]
