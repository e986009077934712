"""What `make audit` says: never clean where nothing was looked up."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / ".ci" / "audit.py"
PINNED = {"one": "1.0", "two": "2.0"}


@pytest.fixture(scope="module")
def audit() -> ModuleType:
    spec = importlib.util.spec_from_file_location("audit", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def looked_up(name: str, *holes: str) -> dict[str, object]:
    return {"name": name, "version": "1", "vulns": [{"id": hole, "fix_versions": ["3.0"]} for hole in holes]}


def test_pins_that_are_all_known_and_fine_are_clean(audit: ModuleType) -> None:
    code, (line,) = audit.verdict({"dependencies": [looked_up("one"), looked_up("Two")]}, PINNED)
    assert code == 0
    assert "2 pins audited" in line


def test_pins_that_could_not_be_looked_up_are_not_clean(audit: ModuleType) -> None:
    skipped = {"name": "two", "skip_reason": "Dependency not found on PyPI"}
    code, (line,) = audit.verdict({"dependencies": [looked_up("one"), skipped]}, PINNED)
    assert code == 3
    assert "1 of 2 pins" in line
    assert audit.verdict({"dependencies": []}, PINNED)[0] == 3


def test_vulnerable_pin_is_named_also_where_others_are_unknown(audit: ModuleType) -> None:
    code, lines = audit.verdict({"dependencies": [looked_up("one", "CVE-1")]}, PINNED)
    assert code == 1
    assert lines[0] == "one 1.0: CVE-1, fixed in 3.0"
    assert "could not be audited" in lines[1]


def test_environment_that_is_not_the_pinned_one_is_told(audit: ModuleType) -> None:
    installed = {"one": "1.0+cpu", "two": "2.1", "three": "3.0", "pip": "24", "cxr-triage": "0.1.0"}
    assert audit.unpinned(installed, PINNED) == [
        "three 3.0 is installed, but constraints.txt has no pin",
        "two 2.1 is installed, but constraints.txt has 2.0",
    ]


def test_pins_are_read_as_pip_reads_them(audit: ModuleType) -> None:
    assert audit.pins("# head\nA_b.C==1.0  # why\n\nmsgpack==1.2.4\n") == {"a-b-c": "1.0", "msgpack": "1.2.4"}
