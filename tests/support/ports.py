"""Ports of loopback for programs that cannot take a bound socket: free now, and not given to anybody by the kernel."""

from __future__ import annotations

import os
import random
import socket
from contextlib import ExitStack
from pathlib import Path
from typing import Final

_EPHEMERAL: Final = Path("/proc/sys/net/ipv4/ip_local_port_range")
_LOWEST: Final = 10_240
_HIGHEST: Final = 65_535
_ATTEMPTS: Final = 200
_given: Final = set[int]()


def free_ports(count: int) -> tuple[int, ...]:
    """Return ``count`` different ports that nobody listens on, and that no other call of this run has returned.

    Outside the range from which the kernel takes ports for outgoing connections: a server that is ended and started
    again on its port must find it free, though other tests have opened connections in between.
    """
    # Not seeded: two test runs on one machine must not try the same ports in the same order.
    candidates = random.SystemRandom().sample(_candidates(), _ATTEMPTS)
    found: list[int] = []
    with ExitStack() as held:
        for port in candidates:
            if len(found) == count:
                break
            listener = held.enter_context(socket.socket())
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                # All addresses, as the programs bind it: one that is taken on another address is not free.
                listener.bind(("", port))
            except OSError:
                continue
            found.append(port)
    assert len(found) == count, f"{_ATTEMPTS} ports tried"
    _given.update(found)
    return tuple(found)


def is_listening(port: int) -> bool:
    """Return whether somebody accepts connections there."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5):
            return True
    except OSError:
        return False


def _candidates() -> list[int]:
    first, last = map(int, _EPHEMERAL.read_text().split())
    everywhere = [port for port in range(_LOWEST, _HIGHEST + 1) if port not in _given and _is_ours(port)]
    outside = [port for port in everywhere if not first <= port <= last]
    # A machine may give the kernel all of them; a port of those is free mostly, and there is no better one.
    return outside if len(outside) >= _ATTEMPTS else everywhere


def _is_ours(port: int) -> bool:
    """Return whether none of the processes of pytest-xdist beside this one takes the port."""
    mine, processes = os.environ.get("PYTEST_XDIST_WORKER", "gw0"), os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")
    return port % int(processes) == int(mine.removeprefix("gw")) % int(processes)
