from __future__ import annotations

from pathlib import Path

import pytest

from model.errors import BundleNotFound
from services.worker.bundles import default_bundle_directory
from tests.support.bundles import write_tiny_bundle


def test_the_only_bundle_is_the_default(tmp_path: Path) -> None:
    bundle = write_tiny_bundle(tmp_path / "one")
    (tmp_path / "no-bundle").mkdir()
    assert default_bundle_directory(tmp_path) == bundle


def test_without_a_bundle_there_is_no_default(tmp_path: Path) -> None:
    with pytest.raises(BundleNotFound, match="CXR_WORKER_BUNDLE"):
        default_bundle_directory(tmp_path)


def test_a_choice_between_bundles_is_left_to_the_operator(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_tiny_bundle(tmp_path / name)
    with pytest.raises(BundleNotFound, match="one, two"):
        default_bundle_directory(tmp_path)
