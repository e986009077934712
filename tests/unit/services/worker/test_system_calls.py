"""The filter of system calls, read instruction by instruction as the kernel does, and its numbers."""

from __future__ import annotations

import platform
import re
import struct
from pathlib import Path

import pytest

from services.worker.decoding.system_calls import ALLOWED, CONDITIONAL, filter_program

# What the kernel's own headers call x86_64's and aarch64's numbers; aarch64 uses the generic ones.
HEADERS = {
    0: (Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h"), Path("/usr/include/asm/unistd_64.h")),
    1: (Path("/usr/include/asm-generic/unistd.h"),),
}
ARCHITECTURES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}
PID = 4711
ALLOW, REFUSE, KILL = 0x7FFF0000, 0x00050001, 0x80000000


def verdict(machine: str, number: int, *arguments: int, architecture: int | None = None) -> int:
    """Run the filter on a call; what it does not know of BPF fails here."""
    program = filter_program(machine, pid=PID)
    assert program is not None
    instructions = list(struct.iter_unpack("=HBBI", program))
    known = ARCHITECTURES[machine][1] if architecture is None else architecture
    data = struct.pack("<IIQ6Q", number, known, 0, *arguments, *[0] * (6 - len(arguments)))
    accumulator = position = 0
    while True:
        code, if_equal, if_not, value = instructions[position]
        position += 1
        match code:
            case 0x20:
                (accumulator,) = struct.unpack_from("<I", data, value)
            case 0x15:
                position += if_equal if accumulator == value else if_not
            case 0x06:
                return int(value)
            case _:
                raise AssertionError(f"unknown instruction {code:#x}")


@pytest.mark.parametrize("machine", ARCHITECTURES)
def test_named_calls_pass_and_all_others_fail_with_eperm(machine: str) -> None:
    column, _ = ARCHITECTURES[machine]
    allowed = {numbers[column] for numbers in ALLOWED.values()}
    conditional = {numbers[column] for numbers in CONDITIONAL.values()}
    for number in set(range(600)) - conditional:
        assert verdict(machine, number) == (ALLOW if number in allowed else REFUSE), number


@pytest.mark.parametrize("machine", ARCHITECTURES)
def test_signals_go_to_the_process_itself_and_only_processor_time_can_be_moved(machine: str) -> None:
    column, _ = ARCHITECTURES[machine]
    for name in ("kill", "tgkill"):
        assert verdict(machine, CONDITIONAL[name][column], PID, 9) == ALLOW
        assert verdict(machine, CONDITIONAL[name][column], PID + 1, 9) == REFUSE
        assert verdict(machine, CONDITIONAL[name][column], 2**32 - 1, 9) == REFUSE, "everybody"
    limit = CONDITIONAL["prlimit64"][column]
    assert verdict(machine, limit, 0, 0) == ALLOW
    assert verdict(machine, limit, 0, 9) == REFUSE, "address space"
    assert verdict(machine, limit, PID + 1, 0) == REFUSE, "another's"


@pytest.mark.parametrize("machine", ARCHITECTURES)
def test_other_architectures_entries_end_the_process(machine: str) -> None:
    i386 = 0x40000003
    assert verdict(machine, 11, architecture=i386) == KILL
    for number in range(600):
        assert verdict(machine, 0x40000000 | number) == REFUSE, "x32"


def test_a_machine_that_nobody_wrote_a_table_for_has_no_filter() -> None:
    assert filter_program("riscv64", pid=1) is None


@pytest.mark.parametrize("column", HEADERS)
def test_the_numbers_are_those_of_the_kernels_headers(column: int) -> None:
    header = next((path for path in HEADERS[column] if path.exists()), None)
    if header is None:
        pytest.skip(f"no kernel headers for {list(ARCHITECTURES)[column]} on this {platform.machine()}")
    numbers = re.findall(r"#define __NR(?:3264)?_(\w+)\s+(\d+)", header.read_text(encoding="utf-8"))
    known = {name: int(number) for name, number in numbers}
    for name, ours in (ALLOWED | CONDITIONAL).items():
        assert ours[column] == known[name], name
