"""A machine without a compiler trains all the same, and is told so once."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from training.learning.compiling import compiled


def test_without_a_compiler_the_network_itself_computes(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    nothing = str(tmp_path_factory.mktemp("nothing"))
    monkeypatch.setenv("PATH", nothing)
    monkeypatch.setenv("CXX", "no-such-compiler")
    # What an earlier process compiled must not answer for this one.
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", nothing)
    monkeypatch.setenv("TORCHINDUCTOR_FORCE_DISABLE_CACHES", "1")
    said: list[str] = []
    network = nn.Linear(3, 3)
    assert compiled(network, say=said.append) is network
    assert len(said) == 1
    assert "no working compiler" in said[0]
    assert network(torch.zeros((1, 3))).shape == (1, 3)
