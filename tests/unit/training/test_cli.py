"""The command line says what is wrong in one line and ends with 2."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import training
from tests.support.datasets import write_collection
from tests.support.gateway import wait_until
from training.cli import main
from training.run_directory import RunDirectory
from training.weights_facts import WeightsFacts

RECIPE = str(Path(training.__file__).parent / "recipes" / "healthy_unhealthy.toml")

FACTS = WeightsFacts(
    method="drawn",
    films=2,
    films_sha256="0",
    recipe={},
    recipe_sha256="0",
    seed=1,
    final_loss=1.5,
    commit="unknown",
    libraries={},
    sha256=hashlib.sha256(b"other").hexdigest(),
)


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["cxr-train", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("run", "absent.toml", "--data", "d", "--out", "o"), "cannot read the recipe absent.toml"),
        (("run", RECIPE, "--preset", "gpu", "--data", "d", "--out", "o"), "no preset 'gpu'"),
        (("run", RECIPE, "--data", "d", "--out", "o"), "d is not a directory"),
        (("run", RECIPE, "--data", "d", "--out", "o", "--init", "absent.pth"), "cannot read the weights"),
        (("run", RECIPE, "--data", "d", "--out", "o", "--device", "abacus"), "cannot use the device 'abacus'"),
        (("prepare", RECIPE, "--data", "d", "--out", "file"), "cannot write the run directory file"),
        (("run", RECIPE, "--data", "d", "--out", "file/o"), "cannot write the run directory file/o"),
        (("step", "head", "--out", "file"), "cannot write the run directory file"),
        (("step", "head", "--out", "o"), "not a run directory"),
        (("step", "fold", "--out", "o"), "there is no step 'fold'"),
        (("run", RECIPE, "--data", "d", "--out", "o", "--until", "fold"), "there is no step 'fold'"),
        (("run", "spark_features", "--data", "d", "--out", "o"), "give --init"),
        (("sweep", RECIPE, "--data", "d", "--out", "o"), "has no [sweep]: nothing to vary"),
        (("sweep", "spark_features", "--data", "d", "--out", "o"), "give --init"),
        (
            ("sweep", "eleven_experiments", "--data", "d", "--out", "o", "--init", "b.pth"),
            "say --init densenet121=b.pth",
        ),
        (("sweep", "chestmnist_cnn", "--data", "d", "--out", "o", "--device", "abacus"), "cannot use the device"),
        (("sweep", "chestmnist_cnn", "--data", "d", "--out", "o", "--spark", "mars"), "'mars' is no Spark master"),
        (("run", RECIPE, "--data", "d", "--out", "o", "--spark", "mars"), "'mars' is no Spark master"),
        (("step", "manifest", "--out", "o", "--spark", "mars"), "not a run directory"),
        (("sweep", "chestmnist_cnn", "--data", "d", "--out", "file"), "cannot write the run directory file"),
        (("sweep", "chestmnist_cnn", "--data", "d", "--out", "o"), "5 of 5 runs failed (learning_rate=1e-06, "),
        (("status", "--out", "o"), "not a run directory"),
        (("run", RECIPE, "--data", "d", "--out", "o", "--init", "bare.pth"), "does not say where they come from"),
        (("run", RECIPE, "--data", "d", "--out", "o", "--init", "other.pth"), "describes other weights"),
        (("pretrain", RECIPE, "--films", "d", "--out", "new.pth"), "the recipe has no [pretrain] section"),
        (("pretrain", "triage", "--films", "d", "--out", "new.pth"), "d is not a directory"),
        (("pretrain", "triage", "--films", "d", "--out", "bare.pth"), "bare.pth exists; give another name"),
    ],
)
def test_an_error_is_one_line_and_exit_code_2(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    arguments: tuple[str, ...],
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("in the way")
    for name in ("bare", "other"):
        Path(f"{name}.pth").write_bytes(b"weights")
    Path("bare.json").write_text("{}")
    Path("other.json").write_text(FACTS.model_dump_json())
    assert run(monkeypatch, *arguments) == 2
    captured = capsys.readouterr()
    assert said in captured.err
    assert captured.err.startswith("cxr-train: ")
    assert captured.err.count("\n") == 1


def test_steps_run_one_by_one_and_status_shows_them(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    data = str(write_collection(tmp_path / "data", patients=60, films_per_patient=1, pixels=32))
    out = str(tmp_path / "run")
    assert run(monkeypatch, "prepare", RECIPE, "--preset", "cpu", "--data", data, "--out", out) == 0
    assert run(monkeypatch, "step", "manifest", "--out", out) == 0
    assert run(monkeypatch, "step", "manifest", "--out", out) == 0
    assert run(monkeypatch, "status", "--out", out) == 0
    shown = capsys.readouterr().out
    assert "manifest: finished earlier, kept" in shown
    assert shown.count("yes") == 1


def test_a_run_that_stops_early_names_no_report_of_an_earlier_order(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    data = str(write_collection(tmp_path / "data", patients=60, films_per_patient=1, pixels=32))
    with RunDirectory(tmp_path / "run").writing("evaluate", "of another order", commit="none") as output:
        (output / "report.json").write_text("{}")
    order = ("--preset", "cpu", "--data", data, "--out", str(tmp_path / "run"), "--until", "manifest")
    assert run(monkeypatch, "run", RECIPE, *order) == 0
    assert "report:" not in capsys.readouterr().out


def test_status_tells_what_another_order_has_outdated_even_without_the_films(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    data = write_collection(tmp_path / "data", patients=60, films_per_patient=1, pixels=32)
    order = ("prepare", RECIPE, "--data", str(data), "--out", str(tmp_path / "run"))
    assert run(monkeypatch, *order, "--preset", "cpu") == 0
    assert run(monkeypatch, "step", "manifest", "--out", str(tmp_path / "run")) == 0
    data.rename(tmp_path / "away")
    assert run(monkeypatch, "status", "--out", str(tmp_path / "run")) == 0
    shown = capsys.readouterr().out
    assert "films as recorded, because they cannot be read now" in shown
    assert (shown.count("yes"), shown.count("outdated")) == (1, 0)
    (tmp_path / "away").rename(data)
    assert run(monkeypatch, *order) == 0
    assert run(monkeypatch, "status", "--out", str(tmp_path / "run")) == 0
    shown = capsys.readouterr().out
    assert (shown.count("yes"), shown.count("outdated")) == (0, 1)


def test_a_second_process_leaves_a_running_one_alone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    arguments = ("prepare", RECIPE, "--data", str(tmp_path), "--out", str(tmp_path / "run"))
    assert run(monkeypatch, *arguments) == 0
    before = (tmp_path / "run" / "order.json").read_bytes()
    with RunDirectory(tmp_path / "run").locked():
        assert run(monkeypatch, *arguments, "--preset", "cpu") == 2
        assert run(monkeypatch, "step", "manifest", "--out", str(tmp_path / "run")) == 2
    assert capsys.readouterr().err.count("another process is working") == 2
    assert (tmp_path / "run" / "order.json").read_bytes() == before


def test_an_order_names_its_files_from_any_working_directory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    Path("weights.pth").write_bytes(b"weights")
    assert run(monkeypatch, "prepare", RECIPE, "--data", "data", "--out", "run", "--init", "weights.pth") == 0
    order = RunDirectory(Path("run")).read_order()
    assert (order.data, order.init) == (tmp_path / "data", tmp_path / "weights.pth")
    assert order.init_facts is None


def test_an_order_takes_along_what_pretrained_weights_say_of_themselves(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("backbone.pth").write_bytes(b"other")
    Path("backbone.json").write_text(FACTS.model_dump_json())
    assert run(monkeypatch, "prepare", RECIPE, "--data", "data", "--out", "run", "--init", "backbone.pth") == 0
    assert RunDirectory(Path("run")).read_order().init_facts == FACTS


def test_ctrl_c_is_one_line_and_exit_code_130_and_finished_steps_survive(tmp_path: Path) -> None:
    data = write_collection(tmp_path / "data", patients=60, films_per_patient=1, pixels=32)
    root = tmp_path / "run"
    command = [sys.executable, "-c", "from training.cli import main; main()", "run", RECIPE, "--preset", "cpu"]
    with subprocess.Popen(
        [*command, "--data", str(data), "--out", str(root), "--threads", "1"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            wait_until((root / ".finetune.partial").exists, seconds=120, what="the fine-tuning")
            process.send_signal(signal.SIGINT)
            _, said = process.communicate(timeout=120)
        finally:
            process.kill()
    assert process.returncode == 130
    assert said.startswith("cxr-train: interrupted; finished steps and checkpoints are kept")
    assert said.count("\n") == 1
    assert RunDirectory(root).key("pixels") is not None
    assert RunDirectory(root).key("finetune") is None


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("--help",), 0, "From labelled films to a bundle"),
        (("run", "--help"), 0, "--preset"),
        (("step", "pixels", "--out", "absent"), 2, "needs torch; install the extra"),
    ],
)
def test_help_answers_without_the_extra_and_all_else_names_it(
    tmp_path: Path, arguments: tuple[str, ...], code: int, said: str
) -> None:
    without_torch = "import sys; sys.modules['torch'] = None; from training.cli import main; main()"
    environment = os.environ | {"COLUMNS": "160", "NO_COLOR": "1"}
    ended = subprocess.run(
        [sys.executable, "-c", without_torch, *arguments],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == code
    assert said in ended.stdout + ended.stderr
