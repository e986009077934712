"""Reads films ahead of the network, so that neither waits for the other."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import torch
from torch import Tensor

Item = TypeVar("Item")

# A GPU at thousands of films a second empties a batch in milliseconds; a page that is not cached takes as long.
_BATCHES_AHEAD = 4


def read_ahead(read: Callable[[Item], Tensor], items: Iterable[Item], device: torch.device) -> Iterator[Tensor]:
    """Yield ``read(item)`` of each item in order, on ``device``; a thread reads at most some batches ahead.

    Copies to a GPU start from pinned memory and are not waited for. An error of ``read`` is raised where its batch
    would have come.
    """
    pins = device.type == "cuda"

    def fetch(item: Item) -> Tensor:
        found = read(item)
        return found.pin_memory() if pins else found

    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="read-ahead") as pool:
        ahead: deque[Future[Tensor]] = deque()
        try:
            for item in items:
                ahead.append(pool.submit(fetch, item))
                if len(ahead) > _BATCHES_AHEAD:
                    yield ahead.popleft().result().to(device, non_blocking=True)
            while ahead:
                yield ahead.popleft().result().to(device, non_blocking=True)
        finally:
            pool.shutdown(cancel_futures=True)
