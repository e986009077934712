"""Frozen features by Spark: films are read where the executors are, and what comes back is checked film by film.

Report 004's extraction: a DataFrame of the official table, the frozen network mapped over it, one table of features.
"""

from __future__ import annotations

import math
import time
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.pandas.types import from_arrow_schema

from model.image import Tensor
from training.datasets.labels import Table
from training.datasets.unreadable import print_unreadable, write_unreadable
from training.errors import SparkError
from training.extraction.collected import Refused, collect_features
from training.extraction.executor import EXTRACTED, FilmExtractor, backbone_bytes
from training.extraction.extract import BATCH_FILMS, extract
from training.extraction.frame import file_uri, films_frame
from training.extraction.requirements import is_local, require_spark
from training.extraction.session import spark_session
from training.networks.network import TriageNetwork
from training.progress import Advance, progress_bar
from training.step import StepContext

LOG_NAME: Final = "spark.log"
UNREADABLE_NAME: Final = "unreadable.csv"
# A task that is lost with its executor costs so many films again.
_FILMS_A_TASK: Final = 256
_POLL_SECONDS: Final = 0.2
# Standalone workers bring an executor up in seconds; a cluster whose cores are all taken should say so, not wait.
_ALONE_SECONDS: Final = 120.0


def extract_on_spark(
    context: StepContext,
    network: TriageNetwork,
    table: Table,
    mirrored: NDArray[np.bool_],
    features: NDArray[np.float32],
    output: Path,
) -> None:
    """Fill ``features`` ``(n, width)`` with what the executors of ``context.spark`` made of the films of ``table``.

    ``features.parquet`` in ``output`` is what they wrote: one row a film, with ``error`` where it did not decode there.
    Such films are listed in ``unreadable.csv`` and printed; this machine has read all of them, and makes their features
    from its own tensors. A lost executor costs its tasks, which Spark repeats elsewhere.

    Raises
    ------
    SparkError
        If Spark cannot start or loses its executors for good, a film is lost or another one, or no executor could read
        any film.
    """
    assert context.spark is not None
    require_spark(context.spark)
    recipe, written = context.order.recipe, output / context.run.features_table.name
    with spark_session(context.spark, output / LOG_NAME) as session:
        films = films_frame(session, context.order.data, recipe.data, recipe.network.findings, table, mirrored)
        weights = session.sparkContext.broadcast(backbone_bytes(network))
        extractor = FilmExtractor(context.order.data, recipe.network, recipe.preprocessing, weights)
        with progress_bar(total=len(table), label=f"features, {context.spark}", console=context.console) as advance:
            _write(films, extractor, written, films=len(table), advance=advance)
    tensors = np.load(context.run.tensors(recipe.preprocessing.size), mmap_mode="r", allow_pickle=False)
    refused = collect_features(written, table, tensors, features)
    if len(refused.rows) == len(table):
        raise SparkError(
            f"no executor of {context.spark} could read any film ({refused.films[0].reason}): {context.order.data} "
            f"must hold the same films on every node"
        )
    _extract_refused(refused, network, tensors, mirrored, features)
    write_unreadable(output / UNREADABLE_NAME, refused.films)
    if refused.films:
        what = "were not read by an executor as this machine reads them; their features were made here"
        print_unreadable(refused.films, what, context.run.features.parent / UNREADABLE_NAME, context.console)


def _extract_refused(
    refused: Refused,
    network: TriageNetwork,
    tensors: Tensor,
    mirrored: NDArray[np.bool_],
    features: NDArray[np.float32],
) -> None:
    for start in range(0, len(refused.rows), BATCH_FILMS):
        rows = refused.rows[start : start + BATCH_FILMS]
        features[rows] = extract(network, tensors[rows], mirrored[rows])


def _tasks(films: int, session: SparkSession) -> int:
    """Return how many tasks the films make: small ones, and no core idle where the films are few."""
    cores = session.sparkContext.defaultParallelism
    return max(1, min(films, max(math.ceil(films / _FILMS_A_TASK), 2 * cores)))


def _write(frame: DataFrame, extractor: FilmExtractor, path: Path, *, films: int, advance: Advance) -> None:
    """Write what the executors make of ``frame`` as Parquet and move the bar.

    The job ends if no executor is left, and by whatever interrupts us.
    """
    session = frame.sparkSession
    tasks = _tasks(films, session)
    # In order, because an archive of films is read forwards.
    dealt = frame.repartitionByRange(tasks, "row").sortWithinPartitions("row")
    extracted = dealt.mapInArrow(extractor, from_arrow_schema(EXTRACTED))
    with ThreadPoolExecutor(max_workers=1) as pool:
        writing = pool.submit(extracted.write.parquet, file_uri(path))
        try:
            _follow(writing, session, tasks=tasks, films=films, advance=advance)
        except BaseException:
            session.sparkContext.cancelAllJobs()
            raise
    writing.result()


def _follow(writing: Future[None], session: SparkSession, *, tasks: int, films: int, advance: Advance) -> None:
    shown, last_seen = 0, time.monotonic()
    while not wait([writing], timeout=_POLL_SECONDS).done:
        done = films * _finished_tasks(session, tasks) // tasks
        advance(by=max(0, done - shown))
        shown = max(shown, done)
        if _has_executor(session):
            last_seen = time.monotonic()
        elif time.monotonic() - last_seen > _ALONE_SECONDS:
            master = session.sparkContext.master
            raise SparkError(
                f"{master} has given this job no executor for {_ALONE_SECONDS:.0f} s: its cores are taken, "
                f"or no worker is up"
            )


def _finished_tasks(session: SparkSession, tasks: int) -> int:
    tracker = session.sparkContext.statusTracker()
    stages = [tracker.getStageInfo(stage) for stage in tracker.getActiveStageIds()]
    return max((stage.numCompletedTasks for stage in stages if stage and stage.numTasks == tasks), default=0)


def _has_executor(session: SparkSession) -> bool:
    # The driver is one of them; of local[n] it is the only one and computes itself.
    return (
        is_local(str(session.sparkContext.master))
        or len(session.sparkContext._jsc.sc().statusTracker().getExecutorInfos()) > 1
    )
