"""A bundle in the store is whole, is the one that its name says, and is there for as long as anybody needs it."""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from model.bundle import read_bundle
from model.errors import BundleCorrupt, BundleNotFound
from services.jobs.bundle_store import BundleStore
from services.jobs.errors import BundleInUse
from tests.support.bundles import write_explaining_bundle, write_tiny_bundle


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_tiny_bundle(tmp_path / "source")


@pytest.fixture
def store(tmp_path: Path) -> BundleStore:
    return BundleStore(tmp_path / "store")


def damage(store_directory: Path, digest: str) -> None:
    network = store_directory / digest / "model.onnx"
    network.write_bytes(network.read_bytes() + b"\0")


def test_what_is_put_is_found_under_its_digest_and_is_the_same(store: BundleStore, source: Path) -> None:
    digest = store.put(source).digest
    assert digest == read_bundle(source).digest
    assert store.get(digest).network == read_bundle(source).network
    (line,) = store.bundles()
    assert (line.digest, line.name, line.version) == (digest, "tiny", "0.0.1")
    assert line.size_bytes == sum(path.stat().st_size for path in source.iterdir())


def test_a_second_put_changes_nothing(store: BundleStore, source: Path, tmp_path: Path) -> None:
    digest = store.put(source).digest
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "store").rglob("*")}
    assert store.put(source).digest == digest
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "store").rglob("*")} == before


def test_a_damaged_bundle_is_not_kept(store: BundleStore, source: Path, tmp_path: Path) -> None:
    (source / "model.onnx").write_bytes(b"other")
    with pytest.raises(BundleCorrupt):
        store.put(source)
    assert store.bundles() == []
    assert not (tmp_path / "store").exists()


def test_a_copy_that_was_damaged_is_refused_and_replaced_by_the_next_put(
    store: BundleStore, source: Path, tmp_path: Path
) -> None:
    digest = store.put(source).digest
    damage(tmp_path / "store", digest)
    with pytest.raises(BundleCorrupt):
        store.get(digest)
    store.put(source)
    assert store.get(digest).digest == digest


def test_another_bundle_under_a_name_is_refused(store: BundleStore, source: Path, tmp_path: Path) -> None:
    digest, other = store.put(source).digest, "0" * 64
    (tmp_path / "store" / digest).rename(tmp_path / "store" / other)
    with pytest.raises(BundleCorrupt, match="another bundle"):
        store.get(other)
    (line,) = store.bundles()
    assert line.name is None


@pytest.mark.parametrize("name", ["0" * 64, "../source", "", "source", "A" * 64])
def test_a_name_that_is_not_stored_is_not_found(store: BundleStore, source: Path, name: str) -> None:
    store.put(source)
    with pytest.raises(BundleNotFound):
        store.get(name)


def test_a_digest_may_be_shortened_as_long_as_it_is_one_bundles(
    store: BundleStore, source: Path, tmp_path: Path
) -> None:
    digest = store.put(source).digest
    store.put(write_explaining_bundle(tmp_path / "other"))
    assert store.find(digest[:8]) == digest
    for prefix in ("", digest[:5], "f" * 8):
        with pytest.raises(BundleNotFound):
            store.find(prefix)


def test_two_puts_at_once_leave_one_whole_bundle(store: BundleStore, source: Path, tmp_path: Path) -> None:
    stores = [BundleStore(tmp_path / "store") for _ in range(2)]
    with ThreadPoolExecutor(2) as threads:
        digests = {bundle.digest for bundle in threads.map(lambda one: one.put(source), stores)}
    assert len(digests) == 1
    assert store.get(digests.pop()).manifest.name == "tiny"


def test_what_somebody_needs_is_not_removed(store: BundleStore, source: Path) -> None:
    digest = store.put(source).digest
    with pytest.raises(BundleInUse):
        store.remove(digest, in_use={digest})
    store.remove(digest, in_use={"0" * 64})
    store.remove(digest, in_use=())
    assert store.bundles() == []


def test_what_a_put_that_died_left_is_removed_after_a_while(store: BundleStore, source: Path, tmp_path: Path) -> None:
    directory = tmp_path / "store"
    for name, age_seconds in ((".old.partial", 7200), (".young.partial", 0)):
        (directory / name).mkdir(parents=True)
        moment = time.time() - age_seconds
        os.utime(directory / name, (moment, moment))
    store.put(source)
    assert sorted(path.name for path in directory.glob(".*")) == [".young.partial"]


def test_a_file_under_a_bundles_name_is_no_bundle(store: BundleStore, source: Path, tmp_path: Path) -> None:
    digest = store.put(source).digest
    (tmp_path / "store" / ("0" * 64)).write_text("not a bundle")
    assert [one.digest for one in store.bundles()] == [digest]
    with pytest.raises(BundleNotFound):
        store.get("0" * 64)


def test_a_store_that_was_never_used_is_empty(store: BundleStore) -> None:
    assert store.bundles() == []
