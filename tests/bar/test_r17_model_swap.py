"""R17: the model changes under load, forth and back; bad ones are refused; every result is one bundle's own."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice, pairwise
from pathlib import Path
from typing import Final

import numpy as np
import pytest

from model.bundle import read_bundle
from model.decoding.decode import decode
from model.decoding.inspect import inspect_header
from model.preprocessing import preprocess
from model.runtime import Provider, Scorer
from services.commands.activating import ActivationFailed, Operator
from services.jobs import keys
from services.jobs.activation import Activation, BundleActivation
from services.jobs.bundle_store import BundleStore
from services.jobs.connection import connect_gateway
from services.jobs.queue import JobQueue
from services.jobs.stored import Result
from tests.bar.conftest import MeasureRow
from tests.support.bar import Row
from tests.support.bundles import write_explaining_bundle, write_tiny_bundle
from tests.support.gateway import wait_until
from tests.support.parts import Parts, backlog, mark_end, wait_done
from tests.support.redis_server import EVERY_REDIS, RedisServer
from tests.support.senders import Sent, accepted, http_client, numbered_films, send_all
from tests.support.worker_process import WorkerProcess

IN_FLIGHT: Final = 500
FILMS_AT_MOST: Final = 6000
ENOUGH_IN_FLIGHT: Final = 0.8 * IN_FLIGHT
PARCEL: Final = 50
OF_EACH: Final = 100  # films that each bundle has to have scored
SECONDS: Final = 120.0
PICTURES: Final = 10
# onnxruntime gives a film the same probability in any company, up to the last bits of a float32.
TOLERANCE: Final = 1e-6


@dataclass(kw_only=True)
class Swap:
    """An installation, and the films that were sent to it."""

    parts: Parts
    url: str
    films: Iterator[bytes]
    sent: list[Sent] = field(default_factory=list)
    in_flight: list[int] = field(default_factory=list)

    def send(self, count: int) -> None:
        """Send so many more films."""
        payloads = list(islice(self.films, count))
        self.sent += send_all(self.url, payloads, clients=8, seconds=SECONDS)

    @contextmanager
    def under_load(self) -> Iterator[None]:
        """Keep as many films in flight while the block runs."""
        is_over = threading.Event()

        def feed() -> None:
            while not is_over.is_set():
                missing = IN_FLIGHT - backlog(self.parts.server)
                if missing > 0:
                    self.send(max(missing, PARCEL))
                else:
                    is_over.wait(0.02)

        feeder = threading.Thread(target=feed, name="feeder")
        feeder.start()
        try:
            yield
        finally:
            is_over.set()
            feeder.join()

    def look(self) -> None:
        """Note how many films are in flight now."""
        self.in_flight.append(backlog(self.parts.server))

    def command(self, *arguments: str | Path) -> int:
        """Run ``cxr-triage bundle``; return its exit code."""
        self.look()
        environment = {name: str(value) for name, value in self.parts.worker_environment().items()}
        ours = {name: value for name, value in os.environ.items() if not name.startswith("CXR_")} | environment
        command = [sys.executable, "-m", "services.cli", "bundle", *map(str, arguments)]
        return subprocess.run(command, env=ours, timeout=SECONDS, check=False).returncode

    def propose(self, digest: str) -> str:
        """Have the workers prepare a bundle as it lies in the store; return the code with which they refused it."""
        self.look()
        return asyncio.run(self._propose(digest))

    async def _propose(self, digest: str) -> str:
        async with connect_gateway(self.parts.server.settings) as client:
            operator = Operator(BundleActivation(client), JobQueue(client), by="row", seconds=SECONDS)
            try:
                await operator.activate(digest, is_tried=True)
            except ActivationFailed as failed:
                return failed.refusal
        return "accepted"

    def state(self) -> Activation:
        """Return which bundle is active."""

        async def read() -> Activation:
            async with connect_gateway(self.parts.server.settings) as client:
                return await BundleActivation(client).read()

        return asyncio.run(read())


@contextmanager
def two_workers(parts: Parts) -> Iterator[list[WorkerProcess]]:
    workers = []
    for number in range(2):
        directory = parts.directory / f"worker-{number}"
        directory.mkdir()
        settings = parts.worker_environment(worker_decoders=1)
        workers.append(WorkerProcess(directory, module="tests.support.unhurried_worker", **settings))
    try:
        for worker in workers:
            worker.start(wait=False)
        yield workers
    finally:
        for worker in workers:
            worker.kill()


def results(server: RedisServer, sent: Sequence[Sent]) -> list[tuple[Sent, Result, int]]:
    """Return what Redis holds of each film: its result, and when it was done."""
    found = []
    with server.client() as client:
        for one in accepted(sent):
            result, done_ms = client.hmget(keys.instance(one.film_id), "result", "done_ms")
            assert result is not None
            assert done_ms is not None
            found.append((one, Result.model_validate_json(result), int(done_ms)))
    return found


def alone(bundle: Path, payloads: Sequence[bytes]) -> list[float]:
    """Return what a bundle makes of each film by itself."""
    loaded = read_bundle(bundle)
    scorer = Scorer(loaded, provider=Provider.CPU, threads=1)
    probabilities = []
    for payload in payloads:
        image = decode(payload, inspect_header(payload))
        tensor = preprocess(image, loaded.manifest.preprocessing)
        probabilities.append(scorer.score(tensor[np.newaxis])[0].probability)
    return probabilities


def mark_results(row: Row, swap: Swap, bundles: dict[str, Path]) -> None:
    """Mark that each film was decided by one bundle, which makes the same of it alone; note the longest pause."""
    found = results(swap.parts.server, swap.sent)
    by = {
        digest: [entry for entry in found if entry[1].model and entry[1].model.digest == digest] for digest in bundles
    }
    row.mark("results_that_name_one_digest", sum(map(len, by.values())), exactly=len(swap.sent))
    strangers = 0
    for digest, entries in by.items():
        row.note(f"by_{bundles[digest].name}", len(entries))
        expected = alone(bundles[digest], [one.payload for one, _, _ in entries])
        strangers += sum(
            result.probability is None or abs(result.probability - probability) > TOLERANCE
            for (_, result, _), probability in zip(entries, expected, strict=True)
        )
    row.mark("films_of_the_bundle_with_fewer", min(map(len, by.values())), at_least=OF_EACH)
    row.mark("results_that_their_bundle_alone_would_not_give", strangers, exactly=0)
    done = sorted(done_ms for _, _, done_ms in found)
    row.note("longest_pause_ms", max(after - before for before, after in pairwise(done)))


def mark_pictures(row: Row, swap: Swap, explaining: str) -> None:
    """Mark that heat maps are there for films of the bundle that explains, drawn from its own map, and for no other."""
    wrong = 0
    with http_client(swap.url) as client:
        for one, result, _ in results(swap.parts.server, swap.sent)[:: len(swap.sent) // PICTURES]:
            assert result.model is not None
            link = client.get(f"/v1/instances/{one.film_id}").json()["links"]["heatmap"]
            is_expected = result.model.digest == explaining
            wrong += (link is not None) != is_expected
            wrong += link is not None and client.get(link).status_code != 200
    row.mark("pictures_of_another_model", wrong, exactly=0)


@pytest.mark.row
@pytest.mark.parametrize("redis_binary", EVERY_REDIS[:1], indirect=True)
def test_models_are_swapped_under_load(
    mortal_redis_server: RedisServer, tmp_path: Path, measure_row: MeasureRow
) -> None:
    first = write_tiny_bundle(tmp_path / "first", gain=0.5)
    second = write_explaining_bundle(tmp_path / "second", size=32)
    parts = Parts(directory=tmp_path, server=mortal_redis_server, bundle=first)
    bundles = {read_bundle(bundle).digest: bundle for bundle in (first, second)}
    with measure_row("R17", "model swap under load") as row, parts.gateway() as gateway:
        swap = Swap(parts=parts, url=gateway.url, films=iter(numbered_films(FILMS_AT_MOST)))
        swap.send(IN_FLIGHT)
        with two_workers(parts) as workers:
            for worker in workers:
                worker.wait_until_ready()
            with swap.under_load():
                _swap_forth_and_back(row, swap, second)
            wait_done(swap.url, swap.sent, seconds=SECONDS)
            row.mark("worker_deaths", sum(worker.process.poll() is not None for worker in workers), exactly=0)
            row.mark("the_first_is_active_at_the_end", int(swap.state().active == _digest(first)), exactly=1)
            row.note("films_in_flight_at_each_change", " ".join(map(str, swap.in_flight)))
            row.note(
                "scaled", "60 ms a film instead of 5, so that films stay in flight for as long as five changes take"
            )
            row.note("films", len(swap.sent))
            mark_results(row, swap, bundles)
            mark_pictures(row, swap, read_bundle(second).digest)
            mark_end(row, parts.server, swap.url, swap.sent, scored=len(swap.sent))


def _swap_forth_and_back(row: Row, swap: Swap, second: Path) -> None:
    # Workers began before both were ready; what they have done meanwhile comes again. Until there are enough in flight,
    # nothing is changed; a mark on a second look would be on what the workers have done since.
    wait_until(lambda: backlog(swap.parts.server) >= ENOUGH_IN_FLIGHT, seconds=SECONDS, what="films in flight")
    started = time.monotonic()
    row.mark("activated", swap.command("activate", second), exactly=0)
    row.note("activation_seconds", round(time.monotonic() - started, 2))
    bad = {"wrong sha256": _with_wrong_bytes(swap), "failing self test": _failing_itself(swap)}
    for name, (directory, digest) in bad.items():
        row.mark(f"operator is refused the bundle with {name}", swap.command("activate", directory), exactly=1)
        row.mark(f"workers refuse the bundle with {name}", int(swap.propose(digest) == "bundle_corrupt"), exactly=1)
        row.mark(f"second serves on after {name}", int(swap.state().active == _digest(second)), exactly=1)
    row.mark("went back", swap.command("rollback"), exactly=0)
    _wait_for_more(swap)


def _wait_for_more(swap: Swap) -> None:
    """Wait until films that came after the last change are done."""
    film_id = swap.sent[-1].film_id
    with swap.parts.server.client() as client:
        wait_until(lambda: client.hget(keys.instance(film_id), "state") == "done", seconds=SECONDS, what="more films")


def _digest(bundle: Path) -> str:
    return read_bundle(bundle).digest


def _with_wrong_bytes(swap: Swap) -> tuple[Path, str]:
    """Return a bundle of which a file was changed, and its digest in the store, where it was changed, too."""
    directory = write_tiny_bundle(swap.parts.directory / "wrong", name="wrong")
    digest = BundleStore(swap.parts.directory / "bundles").put(directory).digest
    for copy in (directory, swap.parts.directory / "bundles" / digest):
        network = copy / "model.onnx"
        network.write_bytes(network.read_bytes() + b"\0")
    return directory, digest


def _failing_itself(swap: Swap) -> tuple[Path, str]:
    """Return a whole bundle whose golden inputs do not score as it says, and its digest in the store."""
    directory = write_tiny_bundle(swap.parts.directory / "liar", name="liar", golden_probabilities=(0.9, 0.9, 0.9))
    return directory, BundleStore(swap.parts.directory / "bundles").put(directory).digest
