"""OFFIS' dcmtk as a test uses it: senders, re-encoders and readers that share no code with ours."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.support.gateway import wait_until
from tests.support.ports import free_ports, is_listening
from tests.support.processes import wait_or_kill
from tests.support.tools import tool

_SECONDS: Final = 300.0
_STOP_SECONDS: Final = 30.0
_STATUS: Final = re.compile(r"^D: DIMSE Status +: 0x([0-9a-fA-F]{4})", re.MULTILINE)
_ELEMENT: Final = re.compile(r"^ *\(([0-9a-f]{4},[0-9a-f]{4})\) (..) (.*?) +# +[^,]+, *\d+ (\S+)$")
# How each program names the transfer syntaxes it makes; storescu's option to propose the same.
_ENCODERS: Final = {
    "implicit": ("dcmconv", "+ti", "-xi"),
    "explicit": ("dcmconv", "+te", "-xe"),
    "big_endian": ("dcmconv", "+tb", "-xb"),
    "deflated": ("dcmconv", "+td", "-xd"),
    "rle": ("dcmcrle", None, "-xr"),
    "jpeg_lossless": ("dcmcjpeg", "+e1", "-xs"),
    "jpeg_baseline": ("dcmcjpeg", "+eb", "-xy"),
    "jpeg_ls": ("dcmcjpls", "+el", "-xt"),
    "jpeg_ls_lossy": ("dcmcjpls", "+en", "-xu"),
}
# Proposed for files that other programs have encoded.
PROPOSALS: Final = {name: proposal for name, (_, _, proposal) in _ENCODERS.items()} | {
    "jpeg_2000": "-xv",
    "jpeg_2000_lossy": "-xw",
}


@dataclass(frozen=True, kw_only=True)
class Association:
    """How a sender ended. ``statuses`` are those of the responses, in order; ``exit_status`` is the program's.

    ``storescu`` exits with the high byte of the first status that is no success or warning (0xA700 gives 167), and
    with 1 where the association or the transfer failed. A file for which there is no presentation context is passed
    over, and the exit status may be 0: look at ``statuses``.
    """

    exit_status: int
    statuses: tuple[int, ...]
    output: str

    @property
    def is_refused(self) -> bool:
        """Whether there was an answer, and it was no to the association as a whole."""
        return "Association Rejected" in self.output

    @property
    def has_no_context(self) -> bool:
        """Whether the association came about without a presentation context for what was to be sent."""
        return re.search("No (valid |Acceptable )?Presentation Context", self.output, re.IGNORECASE) is not None


def echoscu(port: int, *, called: str, calling: str = "ECHOSCU") -> Association:
    """Verify (C-ECHO): exit status 0 where it was answered with success. Its output has no statuses."""
    return _associate("echoscu", ["-aet", calling, "-aec", called], port)


def storescu(
    port: int, *paths: Path, called: str, calling: str = "STORESCU", propose: str = "explicit", halts: bool = False
) -> Association:
    """Send files in one association, in the transfer syntax that ``propose`` names (``PROPOSALS``) or uncompressed.

    Proposes the SOP classes of these files, as a modality does; by itself it proposes the first 128 that there are,
    among which some of ours are not. Goes on after a refused file unless ``halts``.
    """
    options = ["--required", "-aet", calling, "-aec", called, PROPOSALS[propose], *([] if halts else ["--no-halt"])]
    return _associate("storescu", options, port, *paths)


def _associate(program: str, options: Sequence[str], port: int, *paths: Path) -> Association:
    command = [str(tool(program)), "--debug", *options, "127.0.0.1", str(port), *map(str, paths)]
    done = _run(command)
    output = done.stdout + done.stderr
    statuses = tuple(int(status, 16) for status in _STATUS.findall(output))
    return Association(exit_status=done.returncode, statuses=statuses, output=output)


def recoded(source: Path, syntax: str, directory: Path) -> Path:
    """Return a copy of a film that dcmtk has encoded again (``_ENCODERS`` has the names); its UIDs stay.

    dcmtk gives lossy copies a SOP Instance UID of their own, as PS3.3 C.12.1.1.1 wants.
    """
    program, option, _ = _ENCODERS[syntax]
    target = directory / f"{source.stem}-{syntax}.dcm"
    options = [] if option is None else [option]
    done = _run([str(tool(program)), *options, str(source), str(target)])
    assert done.returncode == 0, f"{program} {source.name}:\n{done.stderr}"
    return target


@dataclass(frozen=True, kw_only=True)
class Element:
    """One line of ``dcmdump``: of a text its value, of a UID its number, of a sequence dcmtk's words."""

    tag: str
    vr: str
    value: str
    keyword: str


def elements(path: Path) -> list[Element]:
    """Return every element of a file, items of sequences included, in order; long values whole, texts in UTF-8."""
    done = _run([str(tool("dcmdump")), "-q", "+L", "-Un", "+U8", str(path)])
    assert done.returncode == 0, done.stderr
    found = filter(None, map(_ELEMENT.match, done.stdout.splitlines()))
    return [Element(tag=match[1], vr=match[2], value=match[3].strip("[]"), keyword=match[4]) for match in found]


def value_of(path: Path, keyword: str) -> str:
    """Return the value of the first element of this keyword."""
    return next(element.value for element in elements(path) if element.keyword == keyword)


def dsrdump(path: Path) -> str:
    """Return a structured report as dcmtk reads it; one that it finds fault with fails the test."""
    done = _run([str(tool("dsrdump")), "+U8", "+Pc", "+Pl", "+Pu", str(path)])
    assert done.returncode == 0, done.stderr
    assert not re.search(r"^[EF]: ", done.stderr, re.MULTILINE), done.stderr
    return done.stdout


def _run(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=_SECONDS, check=False)


class StoreScp:
    """dcmtk's ``storescp``: writes what it gets into a directory. A target that needs no archive, and can be down."""

    def __init__(self, directory: Path, *, aet: str = "TARGET") -> None:
        (self.port,) = free_ports(1)
        self.aet = aet
        self.directory = directory / "received"
        self.directory.mkdir(parents=True)
        self._log = directory / "storescp.log"

    @contextmanager
    def running(self) -> Iterator[None]:
        """Accept objects for the block."""
        options = ["-aet", self.aet, "-od", str(self.directory), "--accept-all", str(self.port)]
        with self._log.open("ab") as log:
            process = subprocess.Popen([str(tool("storescp")), *options], stdout=log, stderr=log)
        try:
            wait_until(lambda: is_listening(self.port) or process.poll() is not None, what="storescp")
            assert process.poll() is None, self._log.read_text(errors="replace")
            yield
        finally:
            process.terminate()
            wait_or_kill(process, seconds=_STOP_SECONDS)

    def files(self) -> list[Path]:
        """Return what has come; the last one may be under way until its sender has an answer."""
        return sorted(path for path in self.directory.iterdir() if path.is_file())
