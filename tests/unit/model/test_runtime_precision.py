"""What a network is computed in is what was asked for, or the bundle is refused; thresholds allow for what it moves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import get_args

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto

from model.bundle import Bundle, read_bundle
from model.demographics import unknown_age_sex
from model.errors import BundleCorrupt, ProviderUnavailable
from model.runtime import Engines, Precision, Provider, Scorer
from model.runtime.half import halved
from model.runtime.memory import batch_memory
from model.runtime.options import provider_choices, session_options
from model.runtime.precision import golden_tolerance, has_bf16, precision_of, threshold_margin
from model.runtime.session import OpenNetwork, open_network, run_bound, run_directly
from services.jobs.settings import WorkerSettings
from services.worker.bundles import default_bundle_directory
from tests.support.bundles import write_tiny_bundle
from tests.support.finding_bundles import write_finding_bundle

WITHOUT_BF16 = "flags\t\t: fpu avx2 avx512f avx512bw avx512_vnni\n"
WITH_BF16 = "flags\t\t: fpu avx2 avx512f avx512_bf16\n"


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return read_bundle(write_tiny_bundle(tmp_path / "tiny"))


@pytest.fixture
def asking(tmp_path: Path) -> Bundle:
    """A bundle that takes age and sex."""
    return read_bundle(write_finding_bundle(tmp_path / "findings"))


@pytest.fixture(scope="module")
def shipped() -> Bundle:
    return read_bundle(default_bundle_directory())


@pytest.fixture
def modern(tmp_path: Path) -> Path:
    """What the kernel says of a processor that multiplies bf16."""
    facts = tmp_path / "cpuinfo"
    facts.write_text(WITH_BF16)
    return facts


def session_of(bundle: Bundle, *, threads: int = 1) -> ort.InferenceSession:
    """Return a session on the CPU."""
    return open_network(
        bundle, provider=Provider.CPU, precision=Precision.AUTO, threads=threads, engines=Engines()
    ).session


def choices(provider: Provider, bundle: Bundle, precision: Precision, **engines: object) -> dict[str, dict[str, str]]:
    how = Engines(**engines)  # type: ignore[arg-type]
    return dict(provider_choices(provider, bundle, precision=precision, threads=3, engines=how))


def test_auto_is_what_thresholds_were_certified_in(modern: Path) -> None:
    for provider in (Provider.CPU, Provider.OPENVINO, Provider.CUDA, Provider.TENSORRT):
        assert precision_of(Precision.FP32, Precision.AUTO, provider, cpu_facts=modern) is Precision.FP32


@pytest.mark.parametrize(
    ("provider", "asked"),
    [
        (Provider.CPU, Precision.BF16),
        (Provider.CPU, Precision.FP16),
        (Provider.OPENVINO, Precision.FP16),
        (Provider.CUDA, Precision.BF16),
        (Provider.TENSORRT, Precision.INT8),
    ],
)
@pytest.mark.parametrize("graph", [Precision.FP32, Precision.INT8])
def test_what_a_provider_does_not_compute_in_is_refused(
    graph: Precision, provider: Provider, asked: Precision, modern: Path
) -> None:
    with pytest.raises(ProviderUnavailable, match=f"provider '{provider}' does not compute in {asked}"):
        precision_of(graph, asked, provider, cpu_facts=modern)


def test_an_int8_bundle_is_computed_as_it_was_certified_whatever_was_asked_for(modern: Path) -> None:
    for provider, asked in (
        (Provider.CPU, Precision.FP32),
        (Provider.OPENVINO, Precision.BF16),
        (Provider.TENSORRT, Precision.FP16),
    ):
        assert precision_of(Precision.INT8, asked, provider, cpu_facts=modern) is Precision.INT8


def test_bf16_is_refused_where_openvino_would_silently_compute_in_fp32(modern: Path, tmp_path: Path) -> None:
    assert precision_of(Precision.FP32, Precision.BF16, Provider.OPENVINO, cpu_facts=modern) is Precision.BF16
    older = tmp_path / "older"
    older.write_text(WITHOUT_BF16)
    for facts in (older, tmp_path / "nowhere"):
        assert not has_bf16(facts)
        with pytest.raises(ProviderUnavailable, match="no bf16 instructions"):
            precision_of(Precision.FP32, Precision.BF16, Provider.OPENVINO, cpu_facts=facts)
        assert precision_of(Precision.FP32, Precision.BF16, Provider.TENSORRT, cpu_facts=facts) is Precision.BF16


def test_golden_inputs_have_the_tolerance_that_their_precision_deserves() -> None:
    for precision in (Precision.FP32, Precision.INT8):
        assert golden_tolerance(precision, 1e-4) == 1e-4
    assert golden_tolerance(Precision.BF16, 1e-3) == 0.01
    assert golden_tolerance(Precision.FP16, 1e-3) == 0.0025
    assert golden_tolerance(Precision.FP16, 0.005) == 0.005, "a bundle may allow more, to all of them"


def test_thresholds_are_lowered_where_films_are_not_computed_as_they_were_certified() -> None:
    assert [threshold_margin(one) for one in (Precision.FP32, Precision.INT8)] == [0.0, 0.0]
    for precision in (Precision.BF16, Precision.FP16):
        assert threshold_margin(precision) == golden_tolerance(precision, 0.0) > 0


def test_a_scorer_says_what_it_computes_in(bundle: Bundle) -> None:
    assert Scorer(bundle, provider=Provider.CPU, precision=Precision.FP32).precision is Precision.FP32
    quantised = bundle.manifest.model_copy(update={"precision": "int8"})
    as_int8 = Bundle(**{**vars(bundle), "manifest": quantised})
    assert Scorer(as_int8, provider=Provider.CPU).precision is Precision.INT8


def test_a_precision_that_nothing_here_computes_in_stops_the_bundle(bundle: Bundle) -> None:
    for asked in (Precision.BF16, Precision.FP16):
        with pytest.raises(ProviderUnavailable, match=f"'cpu' does not compute in {asked}"):
            Scorer(bundle, provider=Provider.CPU, precision=asked)


@pytest.mark.skipif(
    "CUDAExecutionProvider" in ort.get_available_providers(), reason="this onnxruntime was built with CUDA"
)
def test_auto_does_not_give_up_a_precision_to_find_a_provider(bundle: Bundle) -> None:
    with pytest.raises(ProviderUnavailable, match="does not compute in fp16"):
        Scorer(bundle, precision=Precision.FP16)


def test_golden_inputs_beyond_their_tolerance_name_the_precision(bundle: Bundle) -> None:
    expected = bundle.manifest.golden_probabilities
    moved = bundle.manifest.model_copy(update={"golden_probabilities": (expected[0] + 0.005, *expected[1:])})
    with pytest.raises(BundleCorrupt, match="here in fp32"):
        Scorer(Bundle(**{**vars(bundle), "manifest": moved})).verify_golden()


@pytest.mark.parametrize("provider", [Provider.CPU, Provider.CUDA, Provider.TENSORRT, Provider.OPENVINO])
def test_threads_never_spin_and_are_never_left_to_onnxruntime(provider: Provider) -> None:
    options = session_options(provider, 3)
    assert options.intra_op_num_threads == 3
    for pool in ("intra", "inter"):
        assert options.get_session_config_entry(f"session.{pool}_op.allow_spinning") == "0"


def test_two_sessions_of_a_process_have_quiet_threads_of_their_own(bundle: Bundle) -> None:
    film = np.full((1, 1, 64, 64), 51, np.uint8)
    for session in [session_of(bundle, threads=2) for _ in range(2)]:
        assert run_directly(session, ["probability"], {"film": film})[0] == pytest.approx(0.2)
        options = session.get_session_options()
        assert options.intra_op_num_threads == 2
        assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0"


def test_openvino_is_always_told_its_precision_and_pins_nothing(bundle: Bundle) -> None:
    for precision, hint in ((Precision.FP32, "f32"), (Precision.INT8, "f32"), (Precision.BF16, "bf16")):
        ((name, options),) = choices(Provider.OPENVINO, bundle, precision).items()
        assert name == "OpenVINOExecutionProvider"
        assert options["device_type"] == "CPU"
        assert json.loads(options["load_config"]) == {
            "CPU": {
                "INFERENCE_PRECISION_HINT": hint,
                "INFERENCE_NUM_THREADS": "3",
                "NUM_STREAMS": "1",
                "ENABLE_CPU_PINNING": "NO",
            }
        }
    whole = session_options(Provider.OPENVINO, 1)
    assert whole.get_session_config_entry("session.disable_cpu_ep_fallback") == "1"


def test_fp32_on_cuda_is_not_tf32(bundle: Bundle) -> None:
    for provider in (Provider.CUDA, Provider.TENSORRT):
        assert choices(provider, bundle, Precision.FP32)["CUDAExecutionProvider"]["use_tf32"] == "0"


@pytest.mark.parametrize(
    ("precision", "flags"),
    [(Precision.FP32, "000"), (Precision.BF16, "010"), (Precision.FP16, "100"), (Precision.INT8, "001")],
)
def test_tensorrt_computes_in_what_was_asked_for_and_leaves_the_rest_to_cuda(
    bundle: Bundle, precision: Precision, flags: str
) -> None:
    chosen = choices(Provider.TENSORRT, bundle, precision)
    assert list(chosen) == ["TensorrtExecutionProvider", "CUDAExecutionProvider"]
    options = chosen["TensorrtExecutionProvider"]
    assert "".join(options[f"trt_{kind}_enable"] for kind in ("fp16", "bf16", "int8")) == flags
    assert "trt_engine_cache_path" not in options


def test_one_engine_serves_every_batch_of_every_input(asking: Bundle) -> None:
    options = choices(Provider.TENSORRT, asking, Precision.FP16, largest_batch=8)["TensorrtExecutionProvider"]
    size = asking.manifest.preprocessing.size
    assert options["trt_profile_min_shapes"] == f"film:1x1x{size}x{size},age_sex:1x2"
    assert options["trt_profile_max_shapes"] == f"film:8x1x{size}x{size},age_sex:8x2"


def test_engines_of_two_bundles_or_precisions_never_share_a_place(
    bundle: Bundle, asking: Bundle, tmp_path: Path
) -> None:
    def place(of: Bundle, precision: Precision) -> str:
        chosen = choices(Provider.TENSORRT, of, precision, directory=tmp_path / "engines")
        return chosen["TensorrtExecutionProvider"]["trt_engine_cache_path"]

    places = {place(of, precision) for of in (bundle, asking) for precision in (Precision.FP32, Precision.FP16)}
    assert len(places) == 4
    assert all(Path(name).is_dir() for name in places)
    assert place(bundle, Precision.FP16) in places, "and are found again"


def test_an_engine_cache_that_cannot_be_written_stops_the_worker(bundle: Bundle, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ProviderUnavailable, match="cannot be written"):
        choices(Provider.TENSORRT, bundle, Precision.FP16, directory=tmp_path / "file")


@pytest.mark.parametrize("mode", [0o770, 0o702, 0o1777], ids=oct)
def test_an_engine_cache_that_others_can_write_stops_the_worker(bundle: Bundle, tmp_path: Path, mode: int) -> None:
    """An engine is a program, and TensorRT runs the one that it finds."""
    shared = tmp_path / "engines"
    choices(Provider.TENSORRT, bundle, Precision.FP16, directory=shared)
    place = shared / bundle.digest
    for directory in (shared, place, next(place.iterdir())):
        before = directory.stat().st_mode
        directory.chmod(mode)
        with pytest.raises(ProviderUnavailable, match="can be written by others"):
            choices(Provider.TENSORRT, bundle, Precision.FP16, directory=shared)
        directory.chmod(before)
    choices(Provider.TENSORRT, bundle, Precision.FP16, directory=shared)


def test_the_graph_for_fp16_computes_in_it_and_keeps_its_inputs_and_outputs(shipped: Bundle) -> None:
    before, after = (onnx.load_model_from_string(graph) for graph in (shipped.network, halved(shipped.network)))
    for part in ("input", "output"):
        assert getattr(after.graph, part) == getattr(before.graph, part)
    kinds = {tensor.name: tensor.data_type for tensor in after.graph.initializer}
    kinds |= {
        one.name: one.type.tensor_type.elem_type for one in onnx.shape_inference.infer_shapes(after).graph.value_info
    }
    convolutions = [node for node in after.graph.node if node.op_type == "Conv"]
    assert convolutions
    for node in convolutions:
        assert {kinds[name] for name in node.input} == {TensorProto.FLOAT16}


def test_fp16_moves_golden_inputs_within_their_tolerance(shipped: Bundle) -> None:
    session = ort.InferenceSession(
        halved(shipped.network), session_options(Provider.CPU, 1), providers=["CPUExecutionProvider"]
    )
    (moved,) = run_directly(session, ["probability"], {"film": shipped.golden_tensors})
    distances = np.abs(moved - np.array(shipped.manifest.golden_probabilities))
    assert 0 < distances.max() <= golden_tolerance(Precision.FP16, 0.0)


def test_a_bound_run_answers_what_a_direct_one_does(shipped: Bundle) -> None:
    names, session = ["probability", "cam", "embedding", "findings"], session_of(shipped)
    memory = batch_memory(Provider.CPU, (len(shipped.golden_tensors) + 1, *shipped.golden_tensors.shape[1:]))
    memory[:-1] = shipped.golden_tensors
    for films in (memory[:1], memory[:-1], memory[-2::-1]):
        direct, bound = (run(session, names, {"film": films}) for run in (run_directly, run_bound))
        for expected, actual in zip(direct, bound, strict=True):
            np.testing.assert_array_equal(actual, expected)


def test_bound_outputs_outlive_the_next_run(bundle: Bundle) -> None:
    session = session_of(bundle)
    memory = np.full((1, 1, 64, 64), 51, np.uint8)
    (first,) = run_bound(session, ["probability"], {"film": memory})
    memory[:] = 255
    (second,) = run_bound(session, ["probability"], {"film": memory})
    assert (first[0], second[0]) == (pytest.approx(0.2), pytest.approx(1.0))


def test_a_network_on_a_gpu_is_run_bound(asking: Bundle) -> None:
    """The CPU's session in a GPU's place: the same calls, the same answers, with every input that the graph takes."""
    session = session_of(asking)
    fed = {"film": asking.golden_tensors, "age_sex": unknown_age_sex(len(asking.golden_tensors))}
    answers = [
        OpenNetwork(session=session, provider=provider, precision=Precision.FP32).run(["probability"], fed)
        for provider in (Provider.CPU, Provider.CUDA)
    ]
    np.testing.assert_array_equal(answers[0], answers[1])


def test_batches_are_put_together_in_memory_of_their_shape(bundle: Bundle) -> None:
    memory = Scorer(bundle, provider=Provider.CPU).batch_memory(5)
    assert (memory.shape, memory.dtype, memory.flags.c_contiguous) == ((5, 1, 64, 64), np.uint8, True)


@pytest.mark.skipif(
    "CUDAExecutionProvider" in ort.get_available_providers(), reason="this onnxruntime has page-locked memory"
)
def test_without_page_locked_memory_a_gpus_batches_lie_in_ordinary_one() -> None:
    memory = batch_memory(Provider.CUDA, (2, 1, 8, 8))
    memory[:] = 7
    assert memory.shape == (2, 1, 8, 8)


def test_settings_offer_what_the_runtime_knows() -> None:
    fields = WorkerSettings.model_fields

    def offered(name: str) -> set[str]:
        return set(get_args(fields[name].annotation))

    assert offered("provider") == {str(provider) for provider in Provider}
    assert offered("precision") == {str(precision) for precision in Precision} - {"int8"}
