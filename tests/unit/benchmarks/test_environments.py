"""Environments are made once and anew when they must be. Needs no package index: pip itself is there already."""

from pathlib import Path

import pytest

from benchmarks.environments import EnvironmentUnavailable, environment, versions_in


@pytest.fixture
def constraints(tmp_path: Path) -> Path:
    path = tmp_path / "constraints.txt"
    path.write_text("")
    return path


@pytest.mark.timeout(600)
def test_environment_is_kept_until_what_is_asked_for_changes(tmp_path: Path, constraints: Path) -> None:
    python = environment("small", ["pip"], constraints, directory=tmp_path)
    left = python.parent / "left"
    left.touch()
    assert environment("small", ["pip"], constraints, directory=tmp_path) == python
    assert left.exists()
    assert environment("small", ["pip>1"], constraints, directory=tmp_path) == python
    assert not left.exists()
    assert set(versions_in(python, ["pip", "not-installed"])) == {"pip"}


@pytest.mark.timeout(600)
def test_environment_that_cannot_be_made_says_why_and_leaves_nothing(tmp_path: Path, constraints: Path) -> None:
    with pytest.raises(EnvironmentUnavailable, match="nowhere"):
        environment("small", [str(tmp_path / "nowhere")], constraints, directory=tmp_path)
    assert not list((tmp_path / "environments").iterdir())
