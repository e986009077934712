"""Gives up what decoding does not need: descriptors, memory, processor time, files, the network, programs.

Knows no films. ``child`` calls it once, after everything is loaded, because nothing of it can be taken back.
"""

from __future__ import annotations

import contextlib
import ctypes
import math
import os
import resource
import signal
import struct
from pathlib import Path
from typing import Final

from services.worker.decoding.messages import DecodingLimits, Sandbox
from services.worker.decoding.system_calls import refuse_other_calls

# Standard streams, its socket, one payload, and a few to spare.
_MAX_OPEN_FILES: Final = 16
# linux/prctl.h
_PR_SET_PDEATHSIG: Final = 1
_PR_SET_NO_NEW_PRIVS: Final = 38
# linux/capability.h: struct __user_cap_header_struct of version 3 for this process, and its two empty data structs.
_CAPABILITY_HEADER: Final = struct.pack("=Ii", 0x20080522, 0)
_NO_CAPABILITIES: Final = bytes(24)


def die_with_parent(parent: int) -> None:
    """Have the kernel kill this process when its parent ends; end it now if that has happened already."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(0)


def silence_standard_streams() -> None:
    """Point stdin, stdout and stderr nowhere: codecs print there, and what they print may quote the film."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nowhere, stream)
    os.close(nowhere)


def keep_only(file: int) -> int:
    """Close every descriptor but the standard streams and this one; return its new number."""
    kept = 3
    os.dup2(file, kept, inheritable=False)
    for number in [int(entry.name) for entry in Path("/proc/self/fd").iterdir()]:
        if number > kept:
            with contextlib.suppress(OSError):  # the one that listed them is gone already
                os.close(number)
    return kept


def confine(limits: DecodingLimits) -> Sandbox:
    """Put the limits and the filter of system calls in force, as far as this kernel has them."""
    libc = ctypes.CDLL(None)
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    own_pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    _limit(resource.RLIMIT_AS, own_pages * resource.getpagesize() + limits.memory_bytes)
    _limit(resource.RLIMIT_FSIZE, 0)
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_NOFILE, _MAX_OPEN_FILES)
    # What all its films may take together, see ``allow_processor_time``.
    _limit(resource.RLIMIT_CPU, (math.ceil(limits.seconds) + 1) * (limits.films + 1))
    # Root's child could raise its limits again, and take pages from the machine (MADV_HWPOISON).
    libc.capset(_CAPABILITY_HEADER, _NO_CAPABILITIES)
    return Sandbox.SECCOMP if refuse_other_calls() else Sandbox.LIMITS


def _limit(what: int, value: int) -> None:
    resource.setrlimit(what, (value, value))


def allow_processor_time(seconds: float) -> None:
    """Allow this much from now on; past it comes SIGXCPU.

    RLIMIT_CPU counts from the start of the process, so each film moves it on.
    """
    usage = resource.getrusage(resource.RUSAGE_SELF)
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    limit = math.ceil(usage.ru_utime + usage.ru_stime + seconds)
    resource.setrlimit(resource.RLIMIT_CPU, (min(limit, hard), hard))
