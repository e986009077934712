"""What Spark lacks is said before it is started: Java, its age, a master that listens."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.tools import require_tools
from training.errors import SparkError
from training.extraction.requirements import require_spark

REQUIRE = "from training.extraction.requirements import require_spark; require_spark('local[1]')"


def refusal(environment: dict[str, str]) -> str:
    """Return the last line of what a process says that asks for Spark in ``environment`` alone."""
    ended = subprocess.run([sys.executable, "-c", REQUIRE], env=environment, capture_output=True, text=True)
    assert ended.returncode == 1
    return ended.stderr.splitlines()[-1]


def fake_java(home: Path, version: str) -> Path:
    """Write a Java that tells ``version`` as Java does, and return its home."""
    java = home / "bin" / "java"
    java.parent.mkdir(parents=True)
    java.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\" 2018-10-16' >&2\n")
    java.chmod(0o755)
    return home


def test_without_java_the_message_names_the_package(tmp_path: Path) -> None:
    said = refusal({"PATH": str(tmp_path)})
    assert "SparkError: Spark needs Java 17 or newer, and PATH has none; install openjdk-17-jre-headless" in said


def test_a_java_home_without_java_is_named(tmp_path: Path) -> None:
    said = refusal({"PATH": os.environ["PATH"], "JAVA_HOME": str(tmp_path)})
    assert f"JAVA_HOME ({tmp_path}) has none" in said


@pytest.mark.parametrize(("version", "told"), [("11.0.2", "Java 11"), ("1.8.0_392", "Java 8")])
def test_a_java_that_is_too_old_is_named(tmp_path: Path, version: str, told: str) -> None:
    said = refusal({"PATH": os.environ["PATH"], "JAVA_HOME": str(fake_java(tmp_path / "java", version))})
    assert f"{tmp_path}/java/bin/java is {told}; install" in said


def test_a_newer_java_will_do(tmp_path: Path) -> None:
    environment = {"PATH": os.environ["PATH"], "JAVA_HOME": str(fake_java(tmp_path / "java", "21.0.1"))}
    subprocess.run([sys.executable, "-c", REQUIRE], env=environment, check=True)


def test_a_master_where_nobody_listens_is_refused_at_once() -> None:
    require_tools("java")
    with socket.socket() as found:
        # Bound and not listening: nobody else can take the port while it is asked for.
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
        with pytest.raises(SparkError, match=rf"no Spark master answers at spark://127\.0\.0\.1:{port} .*refused"):
            require_spark(f"spark://127.0.0.1:{port}")


def test_of_several_masters_one_that_listens_will_do() -> None:
    require_tools("java")
    with socket.create_server(("127.0.0.1", 0)) as listening, socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        first, second = (f"127.0.0.1:{found.getsockname()[1]}" for found in (deaf, listening))
        require_spark(f"spark://{first},{second}")


@pytest.mark.parametrize("master", ["", "locally", "local[", "spark://host", "host:7077", "local-cluster[2]"])
def test_what_is_no_master_is_refused_with_the_forms_that_are(master: str) -> None:
    with pytest.raises(SparkError, match=r"is no Spark master: give local\[2\], spark://host:7077"):
        require_spark(master)
