"""What Spark needs, looked for before anything is started: the extra, Java, and a master that listens.

Knows no Spark object; cheap enough for a command to ask before it decodes a hundred thousand films.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
from importlib.util import find_spec
from typing import Final

from training.errors import SparkError

# pyspark's mapInArrow asks for pandas on the driver, although no frame of it is ever made.
_PACKAGES: Final = ("pyspark", "pyarrow", "pandas")
# Spark 4 is compiled for it (https://spark.apache.org/docs/4.0.0/index.html).
_LEAST_JAVA: Final = 17
_JAVA_PACKAGES: Final = "openjdk-17-jre-headless on Debian and Ubuntu, java-17-openjdk-headless on Fedora and RHEL"
_JAVA_VERSION: Final = re.compile(r'version "(?:1\.)?(\d+)')
_MASTERS: Final = re.compile(r"local(\[.+\])?|local-cluster\[\d+,\d+,\d+\]|spark://[^/]+:\d+|yarn|k8s://.+")
_JAVA_SECONDS: Final = 30.0
_CONNECT_SECONDS: Final = 10.0


def require_spark(master: str) -> None:
    """Stand for it that Spark can be started here and that somebody listens where ``master`` points to.

    Raises
    ------
    SparkError
        If ``master`` is none, the extra ``spark`` or Java is missing, Java is too old, or nobody listens; the message
        says what to install or to start.
    """
    if not _MASTERS.fullmatch(master):
        raise SparkError(
            f"'{master}' is no Spark master: give local[2], spark://host:7077, yarn, k8s://..., or, to try a cluster "
            f"on this machine, local-cluster[executors,cores,MiB]"
        )
    absent = [name for name in _PACKAGES if find_spec(name) is None]
    if absent:
        needed = ", ".join(absent)
        raise SparkError(f"--spark needs {needed}; install the extra: pip install 'cxr-triage[train,cpu,spark]'")
    _require_java()
    if master.startswith("spark://"):
        _require_listener(master)


def is_local(master: str) -> bool:
    """Return whether all of Spark runs on this machine."""
    return master.startswith("local")


def _require_java() -> None:
    home = os.environ.get("JAVA_HOME")
    # As spark-class chooses it.
    java = os.path.join(home, "bin", "java") if home else shutil.which("java")  # noqa: PTH118
    place = f"JAVA_HOME ({home})" if home else "PATH"
    if java is None or shutil.which(java) is None:
        raise SparkError(f"Spark needs Java {_LEAST_JAVA} or newer, and {place} has none; install {_JAVA_PACKAGES}")
    try:
        told = subprocess.run([java, "-version"], capture_output=True, text=True, timeout=_JAVA_SECONDS, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        raise SparkError(f"Spark needs Java {_LEAST_JAVA} or newer, and {java} does not run: {error}") from error
    version = _JAVA_VERSION.search(told.stderr + told.stdout)
    if version is None or int(version[1]) < _LEAST_JAVA:
        found = "a version that cannot be told" if version is None else f"Java {version[1]}"
        raise SparkError(f"Spark needs Java {_LEAST_JAVA} or newer, and {java} is {found}; install {_JAVA_PACKAGES}")


def _require_listener(master: str) -> None:
    """Refuse a dead address here; Spark itself would ask three times in a minute and then speak of something else."""
    reasons = []
    for address in master.removeprefix("spark://").split(","):
        host, port = address.rsplit(":", 1)
        try:
            with socket.create_connection((host, int(port)), timeout=_CONNECT_SECONDS):
                return
        except (OSError, OverflowError, ValueError) as error:
            reasons.append(f"{address}: {error}")
    raise SparkError(
        f"no Spark master answers at {master} ({'; '.join(reasons)}); start one there, or give --spark another address"
    )
