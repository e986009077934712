"""``cxr-triage bundle`` where sites have chosen policies: no site falls back to a point that nobody there chose."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from model.bundle import read_bundle
from tests.end_to_end.test_bundle_command import audited, bundle
from tests.support.gateway import wait_until
from tests.support.ledger import entries_in
from tests.support.policies import bright_film, choose, decided, write_reported_bundle
from tests.support.stack import StackProcess


@pytest.fixture
def own(tmp_path: Path) -> Path:
    return write_reported_bundle(tmp_path / "own", name="own")


@pytest.fixture
def other(tmp_path: Path) -> Path:
    return write_reported_bundle(tmp_path / "other", name="other", size=32, threshold=0.45)


@pytest.fixture
def stack(tmp_path: Path, own: Path) -> Iterator[StackProcess]:
    with StackProcess(tmp_path, bundle=own, worker_decoders=1, worker_threads=1) as running:
        running.wait_ready()
        yield running


def test_a_bundle_is_activated_when_every_site_has_a_policy_for_it(stack: StackProcess, own: Path, other: Path) -> None:
    digests = {path.name: read_bundle(path).digest for path in (own, other)}
    with stack.client() as client:
        wait_until(
            lambda: choose(client, "north", digests["own"], 0.2, seen=0).is_success, what="a policy for what is served"
        )
        assert choose(client, "north", digests["other"], 0.2, seen=1).json()["code"] == "model_not_known"

        refused = bundle(stack, "activate", other)
        assert refused.returncode == 1
        assert "policies_missing" in refused.stderr
        assert "north" in refused.stderr
        assert "default" not in refused.stderr.partition("none for this bundle: ")[2].partition(";")[0]
        models = client.get("/v1/models").json()["activation"]
        assert (models["active"], models["candidate"]) == (None, None)

        assert choose(client, "north", digests["other"], 0.25, seen=1).headers["etag"] == '"2"'
        done = bundle(stack, "activate", other)
        assert done.returncode == 0, done.stderr
        assert _decided(client, 1) == ("other", 2, 0.25)

        assert choose(client, "south", digests["other"], 0.2, seen=0).is_success
        back = bundle(stack, "rollback")
        assert (back.returncode, "policies_missing" in back.stderr) == (1, True)
        assert ": south;" in back.stderr
        adopted = bundle(stack, "rollback", "--adopt-default-points")
        assert adopted.returncode == 0, adopted.stderr
        assert "south: policy 2 is f3, 0.4000" in adopted.stdout
        assert _decided(client, 2) == ("own", 1, 0.2)
        assert _decided(client, 3, site="south") == ("own", 2, 0.4)
        south = client.get("/v1/policies/south").json()
    (adoption, _) = south["history"]
    assert adoption["by"].count("@") == 1
    assert adoption["sensitivity_floor"] is None
    assert "adopted" in adoption["override_reason"]
    changes = [entry for entry in entries_in(stack.data_dir / "audit") if entry["event"] == "policy_changed"]
    assert ("south", 2) in [(change["site"], change["policy"]["version"]) for change in changes]
    assert [event for event in audited(stack) if event[1]] == [("bundle_refused", "policies_missing")] * 2


def _decided(client: Any, seed: int, *, site: str = "north") -> tuple[str, int, float]:
    record = decided(client, bright_film(0.35, seed=seed), site=site)
    return record["model"]["name"], record["policy"]["version"], record["threshold"]
