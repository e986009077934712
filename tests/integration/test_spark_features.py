"""Spark gives the features of the single machine, whatever its executors lack, and whichever of them dies."""

from __future__ import annotations

import csv
import os
import signal
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.support.datasets import row, write_collection, write_table
from tests.support.frozen_features import decoded_run, run_alone
from tests.support.gateway import wait_until
from tests.support.threads import one_thread  # noqa: F401
from tests.support.tools import require_tools
from tests.support.training_runs import printed, tiny_recipe
from training.datasets.inputs import age_sex_of
from training.datasets.sample import Part, read_samples
from training.datasets.unreadable import read_unreadable
from training.errors import SparkError
from training.recipe import ColumnsRecipe
from training.step import StepContext
from training.steps import features

PATIENTS = 20
DEADLINE_SECONDS = 150
OLDEST = 123
RECIPE = tiny_recipe(
    data={"oldest_years": OLDEST, "missing_images": "skip"},
    features={"flip": 0.5},
    network={"findings": ["Nodule", "Hernia", "Mass"], "age_sex": True},
    loss={"findings_weight": 1.0},
)
AS_CSV = RECIPE.data.model_copy(
    update={
        "reader": "csv",
        "columns": ColumnsRecipe(
            image="Image Index", findings="Finding Labels", patient="Patient ID", sex="Patient Gender"
        ),
    }
)
# As the table of 2017 writes ages and sexes, and as later hands have.
SPELLINGS = [("058Y", "M"), ("58.0", "female"), ("013M", "F"), ("", ""), ("0", "MALE"), ("122", "X"), (" 7 ", " f ")]


@pytest.fixture(autouse=True, scope="module")
def _java() -> None:
    require_tools("java")


@pytest.fixture(scope="module")
def one_machine(tmp_path_factory: pytest.TempPathFactory) -> StepContext:
    """A run after its features were extracted in this process; four of its patients are between 123 and 414 years."""
    # Hadoop takes some of these characters for patterns, and URLs escape the others.
    root = tmp_path_factory.mktemp("run") / "films [1] of {2}"
    data = write_collection(root / "data", patients=PATIENTS, pixels=48)
    (table,) = data.glob("*.csv")
    with table.open(newline="") as file:
        header, *rows = csv.reader(file)
    for number, (age, sex) in enumerate(SPELLINGS):
        rows[number * 3][4:6] = [age, sex]
    for number, age in enumerate(("414", "148Y", "124.0", str(OLDEST))):
        rows[-1 - number][4] = age
    write_table(table, [*rows, row("00009999_000.png", "Hernia", 9999)], header)
    context = decoded_run(root, RECIPE, data)
    run_alone(context, "features", features.run)
    return context


@pytest.fixture(scope="module")
def expected(one_machine: StepContext) -> np.ndarray:
    return np.load(one_machine.run.features)


@pytest.fixture(scope="module")
def on_spark(one_machine: StepContext, tmp_path_factory: pytest.TempPathFactory) -> StepContext:
    """The same run's features by two threads of Spark, to whom three films are broken, absent, and another one."""
    films = [one_machine.order.data / sample.path for sample, _ in read_samples(one_machine.run.samples)]
    originals = {number: films[number].read_bytes() for number in (2, 11, 17)}
    films[2].write_bytes(originals[2][:150])
    films[11].unlink()
    films[17].write_bytes(films[16].read_bytes())
    root = tmp_path_factory.mktemp("spark") / "run"
    context = replace(one_machine, run=replace(one_machine.run, root=root), spark="local[2]")
    for step in ("manifest", "pixels"):
        (root / step).parent.mkdir(exist_ok=True)
        (root / step).symlink_to(one_machine.run.root / step)
    before = signal.getsignal(signal.SIGINT)
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(tempfile, "tempdir", str(temporary_files(context)))
            run_alone(context, "features", features.run)
    finally:
        for number, content in originals.items():
            films[number].write_bytes(content)
    assert signal.getsignal(signal.SIGINT) is before
    return context


def test_spark_gives_the_features_of_the_single_machine(on_spark: StepContext, expected: np.ndarray) -> None:
    np.testing.assert_allclose(np.load(on_spark.run.features), expected, atol=1e-5, rtol=0)
    assert len(np.unique(expected, axis=0)) == len(expected) == 2 * PATIENTS - 3


def test_films_that_an_executor_could_not_read_are_listed_and_printed_and_not_lost(on_spark: StepContext) -> None:
    ids = [sample.id for sample, _ in read_samples(on_spark.run.samples)]
    listing = on_spark.run.features.parent / "unreadable.csv"
    listed = {film.image: film.reason for film in read_unreadable(listing)}
    assert sorted(listed) == [ids[2], ids[11], ids[17]]
    assert "cannot be read as a film: decode_error" in listed[ids[2]]
    assert "No such file" in listed[ids[11]]
    assert "other pixels" in listed[ids[17]]
    said = " ".join(printed(on_spark).split())
    assert "NOTE: 3 films were not read by an executor as this machine reads them" in said
    assert f"their features were made here ({listing}): {ids[2]}, {ids[11]}, {ids[17]}" in said


def test_the_table_holds_what_the_report_trained_on(on_spark: StepContext, expected: np.ndarray) -> None:
    table = read_samples(on_spark.run.samples)
    written = pq.read_table(on_spark.run.features_table).sort_by("row")
    assert written["image"].to_pylist() == [sample.id for sample, _ in table]
    assert written["part"].to_pylist() == [part.value for _, part in table]
    demographics = [written[name].to_numpy(zero_copy_only=False) for name in ("age", "sex")]
    np.testing.assert_array_equal(np.stack(demographics, axis=1).astype(np.float32), age_sex_of(table))
    assert {0.58, 0.0, 0.07} == {round(age, 2) for age in written["age"].to_pylist() if age is not None}
    findings = RECIPE.network.findings
    labels = [[int(finding in sample.findings) for finding in findings] for sample, _ in table]
    assert written["labels"].to_pylist() == labels
    mirrored = written.filter(pa.compute.field("is_mirrored"))
    assert set(mirrored["part"].to_pylist()) == {Part.TRAIN.value}
    unread = {film.image for film in read_unreadable(on_spark.run.features.parent / "unreadable.csv")}
    for number, film in enumerate(written.to_pylist()):
        if film["image"] not in unread:
            np.testing.assert_allclose(film["features"], expected[number], atol=1e-5, rtol=0)


def test_rows_of_the_oldest_are_in_neither_engines_table(on_spark: StepContext) -> None:
    ages = [sample.age_years for sample, _ in read_samples(on_spark.run.samples)]
    assert len(ages) == 2 * PATIENTS - 3
    # 123 itself may stay, although nobody was ever so old: it counts as unknown.
    assert max(age for age in ages if age is not None) == 58
    assert pq.read_table(on_spark.run.features_table).num_rows == len(ages)


def temporary_files(context: StepContext) -> Path:
    """Return a folder for temporary files beside a run."""
    folder = context.run.root.with_name("temporary")
    folder.mkdir(exist_ok=True)
    return folder


def test_nothing_of_spark_is_left_behind(on_spark: StepContext) -> None:
    assert not [child for child in psutil.Process().children(recursive=True) if "java" in child.name()]
    assert not list(temporary_files(on_spark).iterdir())
    assert "Spark" in (on_spark.run.features.parent / "spark.log").read_text()


def test_an_executor_that_is_killed_while_it_reads_a_film_costs_nothing(
    one_machine: StepContext, tmp_path: Path
) -> None:
    # Any other form of collection: the run's samples are the table that Spark reads.
    context = decoded_run(tmp_path / "csv", RECIPE.model_copy(update={"data": AS_CSV}), one_machine.order.data)
    run_alone(context, "features", features.run)
    expected = np.load(context.run.features)
    film = context.order.data / read_samples(context.run.samples)[20][0].path
    original = film.rename(tmp_path / film.name)
    os.mkfifo(film)
    context = replace(context, spark="local-cluster[2,1,1024]")
    with ThreadPoolExecutor(max_workers=1) as pool:
        killing = pool.submit(kill_reader, film, original, context.run.root / ".features.partial" / "features.parquet")
        run_alone(context, "features", features.run)
        died_before_the_end = killing.result()
    assert died_before_the_end
    log = (context.run.features.parent / "spark.log").read_text()
    assert "Lost executor" in log
    assert "ExecutorLostFailure" in log
    np.testing.assert_allclose(np.load(context.run.features), expected, atol=1e-5, rtol=0)
    # The film that was being read is no exception: the task's next attempt has read it.
    assert (context.run.features.parent / "unreadable.csv").read_text() == "image,part,reason\n"


def kill_reader(fifo: Path, original: Path, written: Path) -> bool:
    """Kill the executor whose task waits for the film ``fifo``, after putting the film back for the next attempt.

    Returns whether the table ``written`` was begun and unfinished when the executor had died.
    """
    writers: list[int] = []

    def is_read() -> bool:
        try:
            writers.append(os.open(fifo, os.O_WRONLY | os.O_NONBLOCK))
        except OSError:
            return False
        return True

    wait_until(is_read, seconds=DEADLINE_SECONDS, what="a task that reads the film")
    wait_until(lambda: executors_of(fifo) != [], seconds=DEADLINE_SECONDS, what="the executor of that task")
    (executor,) = executors_of(fifo)
    driver = executor.parent()
    assert driver is not None
    driver.suspend()  # no other attempt begins, and nothing is finished, until we have looked
    try:
        original.replace(fifo)
        executor.kill()
        wait_until(lambda: not executor.is_running() or executor.status() == "zombie", seconds=DEADLINE_SECONDS)
        return written.is_dir() and not (written / "_SUCCESS").exists()
    finally:
        driver.resume()
        os.close(writers[0])


def executors_of(fifo: Path) -> list[psutil.Process]:
    """Return the executors' JVMs above the processes that have ``fifo`` open, this one left out."""
    readers = [process for process in psutil.process_iter() if fifo in open_files(process.pid)]
    above = [parent for reader in readers if reader.pid != os.getpid() for parent in reader.parents()]
    return [parent for parent in above if any("CoarseGrainedExecutorBackend" in word for word in parent.cmdline())]


def open_files(process: int) -> set[Path]:
    try:
        return {link.readlink() for link in Path(f"/proc/{process}/fd").iterdir()}
    except OSError:
        # It has ended meanwhile.
        return set()


def test_an_executor_without_this_package_is_told_apart(
    one_machine: StepContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocked = tmp_path / "sitecustomize.py"
    blocked.write_text("import sys\nsys.modules['training'] = None\n")
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nPYTHONPATH="{tmp_path}:$PYTHONPATH" exec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    monkeypatch.setenv("PYSPARK_PYTHON", str(python))
    context = replace(one_machine, spark="local[1]")
    with pytest.raises(
        SparkError, match=r"an executor of local\[1\] cannot import 'training.*install cxr-triage\[train"
    ):
        run_alone(context, "features", features.run)
    assert one_machine.run.key("features") == "alone"
