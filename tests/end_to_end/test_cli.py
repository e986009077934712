"""The commands as a shell sees them."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.command_line import commands, cxr_triage
from tests.support.gateway import environment

SCRIPT = Path(sys.executable).with_name("cxr-triage")


def run(*arguments: str, cwd: Path, **settings: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(SCRIPT), *arguments], cwd=cwd, env=environment(**settings), capture_output=True, text=True, timeout=120
    )


def test_program_explains_itself_from_any_directory(tmp_path: Path) -> None:
    answer = run("--help", cwd=tmp_path)
    assert answer.returncode == 0
    assert "Usage: cxr-triage" in answer.stdout


@pytest.mark.parametrize("command", sorted(commands()))
def test_every_command_explains_itself(command: str) -> None:
    answer = cxr_triage(*command.split(), "--help")
    assert answer.returncode == 0
    assert f"Usage: cxr-triage {command}" in answer.stdout


def test_version_is_told(tmp_path: Path) -> None:
    assert run("--version", cwd=tmp_path).stdout.startswith("cxr-triage ")


def test_wrong_usage_ends_with_2(tmp_path: Path) -> None:
    assert run("up", "--workers", "0", cwd=tmp_path).returncode == 2
    assert cxr_triage("submit", "not-there.png", cwd=tmp_path).returncode == 2


@pytest.mark.parametrize("url", ["notaurl", "ftp://host", "http://", "http://[::1"])
def test_url_that_is_none_is_wrong_usage_in_one_line(url: str, tmp_path: Path) -> None:
    (tmp_path / "film.png").write_bytes(b"film")
    answer = cxr_triage("submit", "--url", url, "film.png", cwd=tmp_path)
    assert answer.returncode == 2
    assert answer.stderr.splitlines() == ["cxr-triage submit: --url must be http:// or https:// and a host"]


def test_new_key_is_printed_once_and_stored_hashed(tmp_path: Path) -> None:
    answer = cxr_triage("key", "new", "--file", "keys.json", "--role", "submit", cwd=tmp_path)
    assert answer.returncode == 0
    key = answer.stdout.strip()
    assert key.startswith("cxr_")
    stored = json.loads((tmp_path / "keys.json").read_text())
    assert [entry["id"] for entry in stored["keys"]] == [key.split("_")[1]]
    assert key.split("_", 2)[2] not in (tmp_path / "keys.json").read_text()


@pytest.mark.parametrize("command", ["api", "worker"])
def test_service_with_an_unknown_setting_says_so_and_ends_with_2(command: str, tmp_path: Path) -> None:
    answer = run(command, cwd=tmp_path, api_prot=1)
    assert answer.returncode == 2
    assert answer.stderr.strip().splitlines() == [
        f"cxr-triage {command}: settings_error: unknown setting CXR_API_PROT; docs/settings.md lists the known ones"
    ]


def test_demo_prints_an_outcome_for_every_generated_film(
    redis_binary: Path, tiny_bundle_directory: Path, tmp_path: Path
) -> None:
    stranger = tmp_path / "fastapi.py"  # in the working directory; must not stand in for the package of that name
    stranger.write_text("raise SystemExit('imported from the working directory')")
    answer = run("demo", "--once", "--port", "0", "--bundle", str(tiny_bundle_directory), cwd=tmp_path)
    assert answer.returncode == 0, answer.stderr
    for words in ("PNG ", "MONOCHROME1", "MONOCHROME2", "sop_class", "body_part", "decode_error", "unsupported_format"):
        assert words in answer.stdout
    assert answer.stdout.count(" 200") == 7
    assert list(tmp_path.iterdir()) == [stranger]
