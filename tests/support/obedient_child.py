"""A decoding child that does to itself what a payload says: stands in for codecs that crash, hang or eat memory.

``python -m tests.support.obedient_child LIMITS``; confinement and protocol are the real child's.
"""

from __future__ import annotations

import os
import signal
import threading
import time

from model.errors import Reason
from services.worker.decoding_child import run_child
from services.worker.decoding_messages import OPENED, DecodingReply, DecodingRequest, ReplyStatus, frame


def obey(content: bytes) -> tuple[DecodingReply, bytes]:
    request = DecodingRequest.model_validate_json(content)
    order, _, value = request.path.read_text().partition(" ")
    if order == "crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    elif order == "be-killed":
        os.kill(os.getpid(), signal.SIGKILL)
    elif order == "exit":
        os._exit(3)
    elif order == "hang":
        time.sleep(3600)
    elif order == "sleep":
        time.sleep(float(value))
        value = "0"
    elif order == "spin":
        while True:
            pass
    elif order == "hoard":
        try:
            return _gray(request, len(bytearray(1 << 40)))
        except MemoryError:
            return _exhausted(request), b""
    elif order == "chatter":
        print("noise of a codec", flush=True)
        os.write(2, b"noise of a codec\n")
    elif order == "babble":
        os.write(3, b"\xff" * 64)
    elif order == "show":
        rows, columns = (int(side) for side in value.split())
        reply, tensor = _gray(request, 0)
        return reply.model_copy(update={"preview_shape": (rows, columns)}), tensor + bytes([9]) * rows * columns
    elif order == "show-less":
        reply, tensor = _gray(request, 0)
        threading.Timer(0.2, os._exit, (0,)).start()
        return reply.model_copy(update={"preview_shape": (100, 100)}), tensor + bytes(50)
    elif order == "show-more":
        reply, tensor = _gray(request, 0)
        surplus = {"answer": OPENED + frame(reply) + tensor, "noise": bytes(5)}[value]
        return reply.model_copy(update={"preview_shape": (10, 10)}), tensor + bytes(100) + surplus
    elif order == "tell-pid":
        return _gray(request, 0, error=str(os.getpid()))
    return _gray(request, int(value or 0))


def _gray(request: DecodingRequest, level: int, error: str | None = None) -> tuple[DecodingReply, bytes]:
    side = request.preprocessing.size
    reply = DecodingReply(sha256=request.sha256, status=ReplyStatus.TENSOR, error=error, decode_ms=1.0)
    return reply, bytes([level % 256]) * side * side


def _exhausted(request: DecodingRequest) -> DecodingReply:
    return DecodingReply(
        sha256=request.sha256,
        status=ReplyStatus.NOT_ASSESSED,
        reason=Reason.DECODE_MEMORY,
        error="MemoryError",
    )


if __name__ == "__main__":
    run_child(obey)
