"""docs/upgrading.md: its commands give older secrets what a newer version needs, and no password is lost."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

from typer.testing import CliRunner

from services.commands.secrets import app
from services.jobs.rights import RedisUser
from tests.support.gateway import environment

PAGE = (Path(__file__).parents[4] / "docs" / "upgrading.md").read_text(encoding="utf-8")


def users(directory: Path) -> dict[str, list[str]]:
    """Return the words of each user's line, by its name."""
    lines = (directory / "redis" / "users.acl").read_text().splitlines()
    return {line.split()[1]: line.split() for line in lines}


def older(directory: Path) -> Path:
    """Return a directory as a version without metrics made it, whose users may do less."""
    assert CliRunner().invoke(app, ["new", str(directory)]).exit_code == 0
    file = directory / "redis" / "users.acl"
    file.write_text(re.sub(r" \+(?:hexists|ltrim|zremrangebyrank|slowlog\|len)\b", "", file.read_text()))
    for folder in ("prometheus", "grafana"):
        shutil.rmtree(directory / folder)
    (directory / "exporter.env").write_text("REDIS_URL=redis://exporter:old@redis:6379/0\n")
    return directory


def upgrade(directory: Path) -> None:
    (block,) = re.findall(r"^   ```sh\n(.*?)^   ```", PAGE, re.MULTILINE | re.DOTALL)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", textwrap.dedent(block)],
        env=environment() | {"PATH": path, "SECRETS": str(directory)},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_users_keep_their_passwords_and_get_the_rights_of_the_newer_version(tmp_path: Path) -> None:
    secrets = older(tmp_path / "secrets")
    before, inode = users(secrets), (secrets / "redis" / "users.acl").stat().st_ino
    upgrade(secrets)
    assert CliRunner().invoke(app, ["new", str(tmp_path / "fresh")]).exit_code == 0
    after, fresh = users(secrets), users(tmp_path / "fresh")
    assert list(after) == list(fresh)
    for name in set(RedisUser) - {RedisUser.EXPORTER}:
        assert after[name][3] == before[name][3], "its password is in the environment of processes that run"
        assert after[name][4:] == fresh[name][4:] != before[name][4:]
    told = dict(line.split("=", 1) for line in (secrets / "exporter.env").read_text().splitlines())
    assert after["exporter"][3] == f"#{hashlib.sha256(told['REDIS_PASSWORD'].encode()).hexdigest()}"
    assert after["exporter"][4:] == fresh["exporter"][4:]
    assert (secrets / "redis" / "users.acl").stat().st_ino == inode, "a file that is mounted would stay the old one"


def test_key_that_scrapes_is_one_of_the_keys_file_that_is_in_use(tmp_path: Path) -> None:
    secrets = older(tmp_path / "secrets")
    known = {key["id"] for key in json.loads((secrets / "keys" / "api-keys.json").read_text())["keys"]}
    upgrade(secrets)
    keys = json.loads((secrets / "keys" / "api-keys.json").read_text())["keys"]
    (made,) = [key for key in keys if key["id"] not in known]
    assert made["roles"] == ["metrics"]
    assert made["id"] in (secrets / "prometheus" / "metrics.key").read_text()
    assert (secrets / "grafana" / "password").read_text()
    assert not (tmp_path / "secrets.new").exists(), "nor does a key lie about that opens nothing"
