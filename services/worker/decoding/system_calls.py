"""The system calls that decoding needs, and the filter that makes the kernel refuse all others (seccomp, Linux).

Knows numbers and the filter's machine language, nothing of films. An allowlist: what is not named here fails with
EPERM, also what kernels will learn later. Above all there is no open, socket, connect, exec, fork, clone, ptrace,
process_vm_readv, mount, bpf, io_uring_setup, keyctl, userfaultfd or perf_event_open, and no call that takes a path.

Sources: numbers from Linux ``arch/x86/entry/syscalls/syscall_64.tbl`` and ``include/uapi/asm-generic/unistd.h`` (what
aarch64 uses); ``linux/audit.h``, ``linux/seccomp.h``, ``linux/filter.h``, ``linux/prctl.h``; the order of the checks
from ``Documentation/userspace-api/seccomp_filter.rst``. A test compares the numbers with the machine's own headers.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import resource
import struct
from collections.abc import Iterable, Mapping
from typing import Final

# Name: number on x86_64, number on aarch64.
ALLOWED: Final[Mapping[str, tuple[int, int]]] = {
    # orders in, replies out, and the payload from the descriptor that came with the order
    "recvmsg": (47, 212),
    "write": (1, 64),
    "pread64": (17, 67),
    "close": (3, 57),
    # memory
    "brk": (12, 214),
    "mmap": (9, 222),
    "mprotect": (10, 226),
    "mremap": (25, 216),
    "munmap": (11, 215),
    "madvise": (28, 233),
    # signals to itself, locks, the end
    "rt_sigaction": (13, 134),
    "rt_sigprocmask": (14, 135),
    "rt_sigreturn": (15, 139),
    "sigaltstack": (131, 132),
    "restart_syscall": (219, 128),
    "futex": (202, 98),
    "exit": (60, 93),
    "exit_group": (231, 94),
    # time, chance, and what libraries ask of the machine
    "clock_getres": (229, 114),
    "clock_gettime": (228, 113),
    "clock_nanosleep": (230, 115),
    "nanosleep": (35, 101),
    "gettimeofday": (96, 169),
    "getrandom": (318, 278),
    "getrusage": (98, 165),
    "getpid": (39, 172),
    "gettid": (186, 178),
    "sched_getaffinity": (204, 123),
    "sched_yield": (24, 124),
    "sysinfo": (99, 179),
}
# Allowed with certain arguments only, see ``_conditions``.
CONDITIONAL: Final[Mapping[str, tuple[int, int]]] = {
    "kill": (62, 129),
    "tgkill": (234, 131),
    "prlimit64": (302, 261),
}
# AUDIT_ARCH_X86_64, AUDIT_ARCH_AARCH64
_ARCHITECTURES: Final = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}

_LOAD_WORD: Final = 0x20  # BPF_LD | BPF_W | BPF_ABS
_JUMP_IF_EQUAL: Final = 0x15  # BPF_JMP | BPF_JEQ | BPF_K
_RETURN: Final = 0x06  # BPF_RET | BPF_K
# struct seccomp_data: int nr; __u32 arch; __u64 instruction_pointer; __u64 args[6]
_NUMBER_AT: Final = 0
_ARCHITECTURE_AT: Final = 4
_ARGUMENTS_AT: Final = 16
_ALLOW: Final = 0x7FFF0000
_REFUSE: Final = 0x00050000 | errno.EPERM
_KILL_PROCESS: Final = 0x80000000

_PR_SET_SECCOMP: Final = 22
_SECCOMP_MODE_FILTER: Final = 2


def _instruction(code: int, value: int, *, if_equal: int = 0, if_not: int = 0) -> bytes:
    """Return one ``struct sock_filter``; jumps are numbers of instructions to leave out."""
    return struct.pack("=HBBI", code, if_equal, if_not, value)


def _conditions(pid: int) -> dict[str, tuple[tuple[int, int], ...]]:
    """Return which argument has to have which value. Each is an int to the kernel: its lower half is all of it.

    Signals go to the process itself (``abort`` needs that). Of its limits it moves the one on processor time, up to the
    hard one.
    """
    return {"kill": ((0, pid),), "tgkill": ((0, pid),), "prlimit64": ((0, 0), (1, resource.RLIMIT_CPU))}


def filter_program(machine: str, *, pid: int) -> bytes | None:
    """Return the filter as an array of ``struct sock_filter``, or ``None`` where nobody has written one.

    Parameters
    ----------
    machine
        As ``platform.machine`` names it.
    pid
        The process that may send signals to itself.
    """
    if machine not in _ARCHITECTURES:
        return None
    column, architecture = _ARCHITECTURES[machine]
    # Numbers mean other calls to another architecture's entry (32-bit programs on a 64-bit kernel). The numbers of x32
    # carry a bit that none of ours has, so that they match nothing.
    program = [
        _instruction(_LOAD_WORD, _ARCHITECTURE_AT),
        _instruction(_JUMP_IF_EQUAL, architecture, if_equal=1),
        _instruction(_RETURN, _KILL_PROCESS),
        _instruction(_LOAD_WORD, _NUMBER_AT),
    ]
    for numbers in ALLOWED.values():
        program += [_instruction(_JUMP_IF_EQUAL, numbers[column], if_not=1), _instruction(_RETURN, _ALLOW)]
    for name, wanted in _conditions(pid).items():
        checks = list(_checks(wanted))
        program += [_instruction(_JUMP_IF_EQUAL, CONDITIONAL[name][column], if_not=len(checks)), *checks]
    program.append(_instruction(_RETURN, _REFUSE))
    return b"".join(program)


def _checks(wanted: Iterable[tuple[int, int]]) -> Iterable[bytes]:
    """Yield instructions that allow the call if every argument is as wanted, and refuse it otherwise."""
    for argument, value in wanted:
        yield _instruction(_LOAD_WORD, _ARGUMENTS_AT + 8 * argument)
        yield _instruction(_JUMP_IF_EQUAL, value, if_equal=1)
        yield _instruction(_RETURN, _REFUSE)
    yield _instruction(_RETURN, _ALLOW)


class _Program(ctypes.Structure):
    """``struct sock_fprog``."""

    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


def refuse_other_calls() -> bool:
    """Have the kernel refuse this thread every other system call; return whether it does.

    Irrevocable, and only for a process of one thread that has given up new privileges.
    """
    instructions = filter_program(platform.machine(), pid=os.getpid())
    if instructions is None:
        return False
    program = _Program(len(instructions) // struct.calcsize("=HBBI"), instructions)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.byref(program), 0, 0) != 0:
        return False
    return _is_refused()


def _is_refused() -> bool:
    """Return whether a call that was refused really is; some emulated kernels accept a filter and ignore it."""
    try:
        pipe = os.pipe()
    except PermissionError:
        return True
    for end in pipe:
        os.close(end)
    return False
