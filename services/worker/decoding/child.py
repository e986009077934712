"""A decoding child: opens films one after the other until the worker closes its socket, also by dying.

Forked by ``zygote``, which has loaded everything. Owns confinement and protocol on the child's side; how a film is
decoded is ``film``'s. Must not know Redis, jobs, credentials or paths: all it has is a socket, shared memory, and the
descriptor of the film's payload.
"""

from __future__ import annotations

import mmap
import os
import socket
from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from services.worker.decoding.confinement import allow_processor_time, confine, keep_only, silence_standard_streams
from services.worker.decoding.messages import (
    MAX_MESSAGE_BYTES,
    OPENED,
    PIXELS_BYTES,
    READY,
    DecodingLimits,
    DecodingReply,
    FilmOrder,
    encode,
)

# An order and its payload's descriptor become a reply, and the pixels that it speaks of.
Answer: TypeAlias = Callable[[FilmOrder, int], tuple[DecodingReply, tuple[NDArray[np.uint8], ...]]]


def live_as_child(channel: int, pixels: int, *, limits: DecodingLimits, answer: Answer) -> None:
    """Confine this process, then answer films.

    Parameters
    ----------
    channel, pixels
        Descriptors of the socket to the worker, and of ``PIXELS_BYTES`` of shared memory.
    """
    shared = np.frombuffer(mmap.mmap(pixels, PIXELS_BYTES), np.uint8)
    silence_standard_streams()
    worker = socket.socket(fileno=keep_only(channel))
    sandbox = confine(limits)
    os.write(worker.fileno(), READY + sandbox.encode())
    while True:
        content, payloads, _, _ = socket.recv_fds(worker, MAX_MESSAGE_BYTES, 1)
        if not content:
            return
        allow_processor_time(limits.seconds)
        os.write(worker.fileno(), OPENED)
        reply = _answer_into(shared, answer, FilmOrder.model_validate_json(content), payloads[0])
        os.close(payloads[0])
        os.write(worker.fileno(), encode(reply))


def _answer_into(shared: NDArray[np.uint8], answer: Answer, order: FilmOrder, payload: int) -> DecodingReply:
    reply, arrays = answer(order, payload)
    end = 0
    for array in arrays:
        start, end = end, end + array.size
        shared[start:end] = array.ravel()
    return reply
