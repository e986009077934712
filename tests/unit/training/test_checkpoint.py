"""A checkpoint is whole, of the same inputs, or put aside aloud."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from training.checkpoint import Checkpoints
from training.errors import RunError
from training.ranks import Ranks


def test_a_checkpoint_of_other_inputs_is_never_used(tmp_path: Path) -> None:
    Checkpoints(folder=tmp_path, key="key", say=print).write("dots", {"number": 1.5})
    assert Checkpoints(folder=tmp_path, key="key", say=print).read("dots") == {"number": 1.5}
    assert Checkpoints(folder=tmp_path, key="other", say=print).read("dots") is None


@pytest.mark.parametrize("damage", [lambda content: content[:-40], lambda content: b"", lambda content: b"\0" * 99])
def test_a_broken_checkpoint_is_put_aside_aloud(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    said: list[str] = []
    checkpoints = Checkpoints(folder=tmp_path, key="key", say=said.append)
    checkpoints.write("dots", {"value": torch.ones(3), "texts": ["a"], "number": 1.5})
    assert (checkpoints.read("dots") or {}).get("number") == 1.5
    path = tmp_path / "dots.pt"
    broken = damage(path.read_bytes())
    path.write_bytes(broken)
    assert checkpoints.read("dots") is None
    assert (tmp_path / "dots.unreadable").read_bytes() == broken
    assert not path.exists()
    assert said == [
        f"WARNING: {path} is no checkpoint; it is put aside as dots.unreadable, and its training starts over"
    ]
    checkpoints.clear()
    assert not tmp_path.exists()


def test_a_checkpoint_that_cannot_be_read_now_is_not_taken_for_none(tmp_path: Path) -> None:
    (tmp_path / "dots.pt").mkdir()
    with pytest.raises(RunError, match=r"cannot read the checkpoint .*dots\.pt"):
        Checkpoints(folder=tmp_path, key="key", say=print).read("dots")


def test_another_number_of_ranks_has_checkpoints_of_its_own() -> None:
    assert len({Ranks(size=size).keyed("key") for size in (1, 2, 3)}) == 3


def test_a_rank_that_does_not_lead_writes_no_checkpoint(tmp_path: Path) -> None:
    Checkpoints(folder=tmp_path / "none", key="key", say=print, writes=False).write("dots", {})
    assert not (tmp_path / "none").exists()
