"""Films are read ahead in order, boundedly, and errors come where their batch would."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from training.learning.loading import read_ahead

CPU = torch.device("cpu")


def test_batches_come_in_order() -> None:
    found = read_ahead(lambda number: torch.tensor([number]), range(20), CPU)
    assert [int(batch) for batch in found] == list(range(20))


def test_no_more_than_some_batches_are_read_ahead_of_the_network() -> None:
    asked = []

    def items() -> Iterator[int]:
        for number in range(100):
            asked.append(number)
            yield number

    found = read_ahead(torch.tensor, items(), CPU)
    next(found)
    assert len(asked) < 10
    found.close()  # type: ignore[attr-defined]  # a generator


def test_an_error_of_the_reader_is_raised_in_the_place_of_its_batch() -> None:
    def read(number: int) -> Tensor:
        if number == 2:
            raise OSError("disk gone")
        return torch.tensor(number)

    found = read_ahead(read, range(5), CPU)
    assert [int(next(found)), int(next(found))] == [0, 1]
    with pytest.raises(OSError, match="disk gone"):
        next(found)


def test_a_reader_that_is_left_early_leaves_no_thread_behind() -> None:
    found = read_ahead(torch.tensor, range(100), CPU)
    next(found)
    found.close()  # type: ignore[attr-defined]
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("read-ahead")]
