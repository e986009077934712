"""Runs a program on a kernel that knows no seccomp: ``python -m tests.support.no_seccomp PROGRAM ...``.

By seccomp itself: a filter that lets everything pass, but answers EINVAL where another filter is to be installed, as a
kernel does that was built without.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
import sys

_ALLOW = 0x7FFF0000
_NO_SUCH_THING = 0x00050000 | errno.EINVAL
_PRCTL = {"x86_64": 157, "aarch64": 167}
_PR_SET_SECCOMP = 22


def _program() -> bytes:
    instructions = (
        (0x20, 0, 0, 0),  # the number of the call
        (0x15, 0, 3, _PRCTL[os.uname().machine]),
        (0x20, 0, 0, 16),  # its first argument
        (0x15, 0, 1, _PR_SET_SECCOMP),
        (0x06, 0, 0, _NO_SUCH_THING),
        (0x06, 0, 0, _ALLOW),
    )
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in instructions)


class _Filter(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


if __name__ == "__main__":
    program = _program()
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(38, 1, 0, 0, 0)  # PR_SET_NO_NEW_PRIVS
    if libc.prctl(_PR_SET_SECCOMP, 2, ctypes.byref(_Filter(len(program) // 8, program)), 0, 0) != 0:
        raise SystemExit("this kernel really has no seccomp")
    os.execv(sys.argv[1], sys.argv[1:])
