"""A Spark session that starts quietly, ends surely, and speaks of its faults in one line.

Spark's own messages go into a log file; its JVM lives as long as the session does and not longer.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pyspark
from py4j.protocol import Py4JError
from pyspark import SparkConf, SparkContext
from pyspark.errors import PySparkException
from pyspark.java_gateway import launch_gateway
from pyspark.sql import SparkSession

from training.errors import SparkError
from training.extraction.requirements import is_local

_NAME: Final = "cxr-train features"
# The JVM only moves rows; convolutions are torch's. Compiling it for a long life costs more than it gives back: 48
# films took the driver 21 s of CPU with Java's own defaults and 13 s with these (2 cores, 2026-11-21).
_JAVA_OPTIONS: Final = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
_LOOPBACK: Final = "127.0.0.1"
_LEAVE_SECONDS: Final = 20.0
_LONGEST_MESSAGE: Final = 300
_MISSING_MODULE: Final = re.compile(r"ModuleNotFoundError: No module named '([\w.]+)'")
_OURS: Final = re.compile(r"training\.errors\.\w+: (.+)")
_STOPPED: Final = re.compile(r"stopped SparkContext|All masters are unresponsive|SparkContext was shut down")
_OTHER_PYTHON: Final = re.compile(r"PYTHON_VERSION_MISMATCH\] (.+)")


@contextmanager
def spark_session(master: str, log: Path) -> Iterator[SparkSession]:
    """Hand out a session on ``master``; on leaving, also by an error or Ctrl-C, Spark and its JVM are gone.

    What Spark prints goes to ``log``. Executors run ``PYSPARK_PYTHON``, or without it the Python of this process.
    Handlers of signals are as before: pyspark's own would take Ctrl-C away from whoever called.

    Raises
    ------
    SparkError
        If Spark does not start (a standalone master that says nothing is given up after a minute), or fails at
        anything that is asked of it inside; the message names ``log``.
    """
    # Executors that were killed may still be writing there.
    scratch = tempfile.TemporaryDirectory(prefix="cxr-spark-", ignore_cleanup_errors=True)
    with scratch as place:
        conf = _conf(master, Path(place))
        # Spark's exceptions can tell their message only while the JVM lives: translated within.
        with _jvm(conf, log) as gateway, _translated(master, log):
            with _starting(master, log):
                context = _context(conf, gateway)
                application, session = context.applicationId, SparkSession(context)
            try:
                yield session
            finally:
                session.stop()
                _remove_traces(master, application)


def _conf(master: str, scratch: Path) -> SparkConf:
    values = {
        "spark.master": master,
        "spark.app.name": _NAME,
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.driver.extraJavaOptions": _JAVA_OPTIONS,
        "spark.executor.extraJavaOptions": _JAVA_OPTIONS,
        "spark.local.dir": str(scratch),
        "spark.sql.warehouse.dir": str(scratch / "warehouse"),
        # A table of films is small: rows wait for a task as a whole, and no task is joined with another.
        "spark.sql.adaptive.enabled": "false",
    }
    if is_local(master):
        # Nobody else has to reach this driver, and a host name may not resolve.
        values |= {"spark.driver.host": _LOOPBACK, "spark.driver.bindAddress": _LOOPBACK}
    conf = SparkConf(loadDefaults=False)
    for name, value in values.items():
        conf.set(name, value)
    return conf


@contextmanager
def _jvm(conf: SparkConf, log: Path) -> Iterator[Any]:
    """Hand out the gateway to a JVM of ours; end it afterwards, and let pyspark forget it."""
    with log.open("ab") as output:
        try:
            gateway: Any = launch_gateway(conf, {"stdout": output, "stderr": output})  # type: ignore[no-untyped-call]
        except PySparkException as error:
            raise SparkError(f"Spark's JVM does not start; it says why in {log}") from error
        try:
            yield gateway
        finally:
            gateway.shutdown()
            gateway.proc.stdin.close()
            try:
                gateway.proc.wait(_LEAVE_SECONDS)
            except subprocess.TimeoutExpired:
                gateway.proc.kill()
                gateway.proc.wait()
            SparkContext._gateway = SparkContext._jvm = SparkContext._active_spark_context = None


def _context(conf: SparkConf, gateway: Any) -> SparkContext:
    """Return a context that leaves signals to whoever had them: pyspark's handler would take Ctrl-C from the caller."""
    handler = signal.getsignal(signal.SIGINT)
    context = SparkContext(conf=conf, gateway=gateway)
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, handler)
    context.pythonExec = os.environ.get("PYSPARK_PYTHON", sys.executable)
    return context


def _remove_traces(master: str, application: str) -> None:
    """Remove what the workers of a ``local-cluster`` leave within Spark's own folder."""
    if not master.startswith("local-cluster"):
        return
    home = Path(os.environ.get("SPARK_HOME", Path(pyspark.__file__).parent))
    shutil.rmtree(home / "work" / application, ignore_errors=True)


@contextmanager
def _starting(master: str, log: Path) -> Iterator[None]:
    """Say what it means that no application could be started; Spark says it in one of several ways, by chance."""
    try:
        yield
    except (PySparkException, Py4JError) as error:
        if is_local(master):
            raise
        raise SparkError(
            f"Spark does not start on {master}: nobody there answers as a master of Spark {pyspark.__version__}, or it "
            f"refuses this application (Spark's own messages: {log})"
        ) from error


@contextmanager
def _translated(master: str, log: Path) -> Iterator[None]:
    try:
        yield
    except (PySparkException, Py4JError) as error:
        raise SparkError(f"{_told(str(error), master)} (Spark's own messages: {log})") from error


def _told(text: str, master: str) -> str:
    missing, ours, python = (pattern.search(text) for pattern in (_MISSING_MODULE, _OURS, _OTHER_PYTHON))
    if missing:
        return (
            f"an executor of {master} cannot import '{missing[1]}': install cxr-triage[train,cpu,spark] on every node, "
            f"for the Python that PYSPARK_PYTHON names there"
        )
    if _STOPPED.search(text):
        return f"{master} has ended this application"
    if ours:
        return f"an executor of {master} failed: {ours[1]}"
    if python:
        return f"{python[1]}; PYSPARK_PYTHON names the Python of the executors"
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith(("\tat ", "An error"))]
    return f"Spark failed on {master}: {' '.join(lines)[:_LONGEST_MESSAGE]}"
