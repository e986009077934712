"""A decoding child that a film has taken over: does what a payload says, from inside the real confinement.

``python -m tests.support.hostile_child LIMITS`` is its zygote. What the kernel says to an attempt comes back as the
gray level of the film: its errno, or ``SUCCEEDED``.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import resource
import signal
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

from services.worker.decoding.messages import OPENED, FilmOrder, ReplyStatus, encode
from services.worker.decoding.zygote import run_zygote
from tests.support.obedient_child import CHANNEL, Obeyed, gray, obey

# A gray level that is no errno.
SUCCEEDED = 255

_LIBC = ctypes.CDLL(None, use_errno=True)


def _connect_tcp(port: str) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as client:
        client.connect(("127.0.0.1", int(port)))


def _connect_unix(path: str) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.connect("\0" + path[1:] if path.startswith("@") else path)


def _through_libc(function: str, *arguments: object) -> None:
    """Call the C library; raise what it says."""
    if getattr(_LIBC, function)(*arguments) < 0:
        raise OSError(ctypes.get_errno(), function)


def _append_to_payload(path: str) -> None:
    with Path(path).open("ab") as file:
        file.write(b"x")


def _start_thread(_: str) -> None:
    try:
        threading.Thread(target=print).start()
    except RuntimeError as error:
        raise PermissionError(errno.EPERM, "no thread") from error


def _map_the_worker(pid: str) -> None:
    _through_libc("process_vm_readv", int(pid), None, 0, None, 0, 0)


ATTEMPTS: dict[str, Callable[[str], object]] = {
    "connect-tcp": _connect_tcp,
    "connect-unix": _connect_unix,
    "exec": lambda program: os.execv(program, [program]),
    "fork": lambda _: os.fork(),
    "thread": _start_thread,
    "unlink": os.unlink,
    "truncate": lambda path: os.truncate(path, 0),
    "rename": lambda path: Path(path).rename(path + ".mine"),
    "chmod": lambda path: Path(path).chmod(0o777),
    "link": lambda path: os.link(path, path + ".link"),
    "mkdir": lambda path: Path(path + ".directory").mkdir(),
    "append": _append_to_payload,
    "read": lambda path: Path(path).read_bytes(),
    "list": os.listdir,
    "stat": os.stat,
    "kill": lambda pid: os.kill(int(pid), signal.SIGKILL),
    "ptrace": lambda pid: _through_libc("ptrace", 16, int(pid), None, None),  # PTRACE_ATTACH
    "process-vm": _map_the_worker,
    "mount": lambda path: _through_libc("mount", b"none", path.encode(), b"tmpfs", 0, None),
    "memfd": lambda _: os.memfd_create("more"),
    "raise-processor-time": lambda _: resource.prlimit(0, resource.RLIMIT_CPU, (3_600_000, 3_600_000)),
    "raise-limits": lambda _: _through_libc("setrlimit", 9, ctypes.byref((ctypes.c_ulong * 2)(2**63, 2**63))),
}


def attack(order: FilmOrder, payload: int) -> Obeyed:
    word, _, value = os.pread(payload, order.payload_bytes, 0).decode().partition(" ")
    if word in ATTEMPTS:
        return gray(order, _said_to(lambda: ATTEMPTS[word](value)))
    match word:
        case "system-call":
            return gray(order, _said_to(lambda: _through_libc("syscall", int(value), 0, 0, 0, 0, 0, 0)))
        case "write-payload":
            return gray(order, _said_to(lambda: os.write(payload, b"x")))
        case "anonymous-memory":
            mmap.mmap(-1, int(value))
        case "garbage":
            os.write(CHANNEL, os.urandom(100))
        case "huge-answer":
            os.write(CHANNEL, b"{" * 100_000)
        case "other-film":
            reply, pixels = gray(order, 1)
            return reply.model_copy(update={"sha256": "0" * 64}), pixels
        case "aeon":
            reply, pixels = gray(order, 1)
            return reply.model_copy(update={"decode_ms": 1e300}), pixels
        case "patient-in-the-log":
            reply, _ = gray(order, 1)
            return reply.model_copy(update={"status": ReplyStatus.NOT_ASSESSED, "error": "Doe^John 1970"}), ()
        case "shapes":
            os.write(CHANNEL, _claiming(order, b"[1000000000,1000000000]"))
        case "many-shapes":
            os.write(CHANNEL, _claiming(order, b"[" + b"1," * 5000 + b"1]"))
        case "twice":
            os.write(CHANNEL, encode(gray(order, 1)[0]))
            os.write(CHANNEL, OPENED)
        case "hang-up":
            os.close(CHANNEL)
            time.sleep(3600)
        case "stop":
            os.kill(os.getpid(), signal.SIGSTOP)
        case _:
            return obey(order, payload)
    return gray(order, 1)


def _claiming(order: FilmOrder, shape: bytes) -> bytes:
    reply, _ = gray(order, 1)
    return encode(reply).replace(b'"preview_shape":null', b'"preview_shape":' + shape)


def _said_to(step: Callable[[], object]) -> int:
    try:
        step()
    except OSError as error:
        return error.errno or 0
    return SUCCEEDED


if __name__ == "__main__":
    run_zygote(attack, prepare=lambda: None)  # no film is decoded, so that no loop is needed
