"""How much a worker does at once, from settings and from what the machine allows this process."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from model.runtime import Provider, provider_order
from model.runtime.provider import ORT_NAMES
from services.jobs.settings import WorkerSettings
from services.worker import sizing
from services.worker.batching import BatchPolicy
from services.worker.cores import cores

BOUND = len(os.sched_getaffinity(0))
GPUS = [provider for provider in Provider if provider.is_gpu]


def allowed(directory: Path, *, quota: str, group: str = "machine.slice/pod") -> int:
    """Return how many cores there are for a process in a control group with this quota."""
    (directory / group).mkdir(parents=True, exist_ok=True)
    (directory / group / "cpu.max").write_text(f"{quota}\n")
    membership = directory / "membership"
    membership.write_text(f"1:name=systemd:/elsewhere\n0::/{group}\n")
    return cores(directory, membership)


def test_a_quota_of_the_control_group_counts_as_cores(tmp_path: Path) -> None:
    assert allowed(tmp_path, quota="100000 100000") == 1


@pytest.mark.parametrize("quota", ["max 100000", f"{100000 * 10_000} 100000", "not what we know"])
def test_a_process_has_the_cores_that_it_is_bound_to_where_no_quota_says_less(tmp_path: Path, quota: str) -> None:
    assert allowed(tmp_path, quota=quota) == BOUND


def test_a_part_of_a_core_is_a_core(tmp_path: Path) -> None:
    assert allowed(tmp_path, quota="1000 100000") == 1


def test_a_container_that_sees_itself_as_the_root_group_has_its_quota(tmp_path: Path) -> None:
    assert allowed(tmp_path, quota="50000 100000", group="") == 1


def test_a_quota_of_a_group_above_holds_for_those_below(tmp_path: Path) -> None:
    (tmp_path / "machine.slice").mkdir()
    (tmp_path / "machine.slice" / "cpu.max").write_text("100000 100000\n")
    assert allowed(tmp_path, quota="max 100000") == 1
    assert allowed(tmp_path, quota=f"{100000 * 10_000} 100000") == 1


def test_a_container_that_knows_its_group_by_a_name_of_the_host_has_its_quota(tmp_path: Path) -> None:
    (tmp_path / "cpu.max").write_text("100000 100000\n")
    membership = tmp_path / "membership"
    membership.write_text("0::/system.slice/docker-1.scope\n")
    assert cores(tmp_path, membership) == 1


@pytest.mark.parametrize("quota", ["100000", "", "-1 100000"])
def test_a_quota_that_makes_no_sense_never_stops_a_worker(tmp_path: Path, quota: str) -> None:
    assert 1 <= allowed(tmp_path, quota=quota) <= BOUND


def test_a_machine_without_control_groups_has_the_cores_that_the_process_is_bound_to(tmp_path: Path) -> None:
    assert cores(tmp_path, tmp_path / "absent") == BOUND


def test_threads_and_decoders_follow_the_cores_unless_they_are_set() -> None:
    assert sizing.cores(WorkerSettings()) == cores()
    assert sizing.decoders(WorkerSettings()) == min(cores(), 32)
    assert sizing.decoders(WorkerSettings(cores=5)) == 5
    assert sizing.decoders(WorkerSettings(cores=5, decoders=3)) == 3
    for provider in Provider:
        assert sizing.threads(provider, WorkerSettings(cores=5, threads=3)) == 3


@pytest.mark.parametrize("provider", Provider)
def test_inference_has_no_more_threads_than_cores(provider: Provider) -> None:
    few = WorkerSettings(cores=4)
    together = (sizing.threads(provider, few), sizing.inferences(provider, few))
    expected = {Provider.CPU: (1, 4), Provider.OPENVINO: (4, 1)}
    assert together == expected.get(provider, (1, 1))
    assert sizing.all_threads(provider, few) == together[0] * together[1]


def test_auto_loads_a_network_with_the_threads_that_are_announced_wherever_it_ends() -> None:
    few = WorkerSettings(cores=4)
    ends = provider_order(Provider.AUTO, list(ORT_NAMES.values()))
    assert {sizing.threads(provider, few) for provider in ends} == {sizing.threads(Provider.AUTO, few)}


@pytest.mark.parametrize(("threads", "inferences"), [(1, 4), (2, 2), (3, 1), (4, 1), (9, 1)])
def test_fewer_inferences_run_at_once_on_a_cpu_the_more_threads_each_has(threads: int, inferences: int) -> None:
    settings = WorkerSettings(cores=4, threads=threads)
    assert sizing.inferences(Provider.CPU, settings) == inferences
    assert sizing.batch_policy(Provider.CPU, settings).at_once == inferences


@pytest.mark.parametrize("provider", [each for each in Provider if each is not Provider.AUTO and not each.is_gpu])
def test_a_batch_on_a_cpu_waits_for_nobody(provider: Provider) -> None:
    alone = WorkerSettings(cores=1)
    assert sizing.batch_policy(provider, alone) == BatchPolicy(max_films=4, patience_seconds=0.0)
    assert sizing.batch_policy(provider, WorkerSettings(max_batch=1)).max_films == 1


@pytest.mark.parametrize("provider", GPUS)
def test_a_batch_on_a_gpu_waits_as_long_as_is_set_for_as_many_as_are_set(provider: Provider) -> None:
    assert sizing.batch_policy(provider, WorkerSettings(max_batch_wait_ms=20, max_batch=64)) == BatchPolicy(
        max_films=64, patience_seconds=0.02
    )
    assert sizing.batch_policy(provider, WorkerSettings()).max_films == 32
    assert sizing.batch_policy(provider, WorkerSettings()).patience_seconds > 0


def test_inferences_that_share_a_cpu_take_fewer_films_each_so_that_none_is_left_idle() -> None:
    shared = sizing.batch_policy(Provider.CPU, WorkerSettings(cores=4))
    assert (shared.max_films, shared.at_once) == (2, 4)


def test_a_worker_holds_one_batch_beside_those_in_decoding_and_inference() -> None:
    assert sizing.films_in_flight(Provider.CPU, WorkerSettings(cores=1, decoders=3, max_batch=5)) == 13
    assert sizing.films_in_flight(Provider.CPU, WorkerSettings(cores=2, decoders=3, max_batch=5)) == 18
