"""A decoding child that does to itself what a payload says: stands in for codecs that crash, hang or eat memory.

``python -m tests.support.obedient_child LIMITS`` is its zygote; confinement and protocol are the real child's.
"""

from __future__ import annotations

import os
import signal
import time

import numpy as np
from numpy.typing import NDArray

from model.errors import Reason
from services.worker.decoding.messages import OPENED, DecodingReply, FilmOrder, ReplyStatus, encode
from services.worker.decoding.zygote import run_zygote

Obeyed = tuple[DecodingReply, tuple[NDArray[np.uint8], ...]]

# What ``keep_only`` leaves a child as its socket to the worker.
CHANNEL = 3


def obey(order: FilmOrder, payload: int) -> Obeyed:
    word, _, value = os.pread(payload, order.payload_bytes, 0).decode().partition(" ")
    match word:
        case "crash":
            os.kill(os.getpid(), signal.SIGSEGV)
        case "be-killed":
            os.kill(os.getpid(), signal.SIGKILL)
        case "exit":
            os._exit(3)
        case "hang":
            time.sleep(3600)
        case "sleep":
            time.sleep(float(value))
            value = "0"
        case "spin":
            while True:
                pass
        case "hoard":
            return _hoard(order, int(value))
        case "fail":
            return _refusal(order, Reason(value)), ()
        case "linger":
            os.write(CHANNEL, encode(gray(order, 0)[0]))
            time.sleep(3600)
        case "chatter":
            print("noise of a codec", flush=True)
            os.write(2, b"noise of a codec\n")
        case "show":
            return _show(order, *(int(side) for side in value.split()))
        case "show-more":
            return _show_more(order, value)
    return gray(order, int(value or 0))


def gray(order: FilmOrder, level: int) -> Obeyed:
    side = order.preprocessing.size
    reply = DecodingReply(sha256=order.sha256, status=ReplyStatus.TENSOR, decode_ms=1.0)
    return reply, (np.full((1, side, side), level % 256, np.uint8),)


def _show(order: FilmOrder, rows: int, columns: int) -> Obeyed:
    reply, pixels = gray(order, 0)
    pixels += (np.full((min(rows, 768), columns), 9, np.uint8),)
    return reply.model_copy(update={"preview_shape": (rows, columns)}), pixels


def _show_more(order: FilmOrder, surplus: str) -> Obeyed:
    """Answer, and say something on top: a message too many now, or all of it again."""
    reply, pixels = gray(order, 0)
    if surplus == "noise":
        os.write(CHANNEL, encode(reply))
        os.write(CHANNEL, bytes(5))
    else:
        os.write(CHANNEL, encode(reply))
        os.write(CHANNEL, OPENED)
    return reply, pixels


def _hoard(order: FilmOrder, size_bytes: int) -> Obeyed:
    try:
        return gray(order, len(bytearray(size_bytes)))
    except MemoryError:
        return _refusal(order, Reason.DECODE_MEMORY, error="MemoryError"), ()


def _refusal(order: FilmOrder, reason: Reason, error: str | None = None) -> DecodingReply:
    return DecodingReply(sha256=order.sha256, status=ReplyStatus.NOT_ASSESSED, reason=reason, error=error)


if __name__ == "__main__":
    run_zygote(obey, prepare=lambda: None)  # no film is decoded, so that no loop is needed
