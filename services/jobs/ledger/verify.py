"""All chains of a directory held against each other and against what Redis knows of them.

Owns which file may be missing and which tail may be torn. Reads only, a line at a time. Must not know decisions.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from services.jobs.errors import LedgerUnavailable
from services.jobs.ledger.chain_files import anchors_of, chain_files, last_line
from services.jobs.ledger.checking import ChainCheck, Damage, Finding
from services.jobs.ledger.entries import AuditEvent, Head, Place, digest_of, time_ms_of

# Called with every line nothing speaks against, until something does: file, place, line.
OnEntry = Callable[[Path, Place, bytes], None]


@dataclass(frozen=True, kw_only=True)
class Verification:
    """What a look at the whole trail found. ``notes`` are no findings: what could not be checked, or is torn."""

    chains: int
    entries: int
    findings: tuple[Finding, ...]
    notes: tuple[str, ...]

    @property
    def is_sound(self) -> bool:
        """Whether nothing speaks against any line."""
        return not self.findings


@dataclass
class _Look:
    """What is gathered on the way through the files."""

    entries: int = 0
    findings: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    retired: set[str] = field(default_factory=set)


def verify(
    directory: Path,
    heads: Mapping[str, Head] | None,
    *,
    on_entry: OnEntry = lambda *_: None,
    since_ms: int = 0,
) -> Verification:
    """Return whether every chain is whole, and every chain that anybody names is there.

    Parameters
    ----------
    heads
        What Redis knows of the chains' ends, asked for before the call; ``None`` where it cannot be asked.
    on_entry
        Sees each sound entry, file by file, in order.
    since_ms
        Chains that ended before are left alone, if their ends are the ones that somebody vouches for.

    Raises
    ------
    LedgerUnavailable
        If the directory cannot be read, or changed meanwhile.
    """
    try:
        files, look, named = chain_files(directory), _Look(), set[str]()
        anchors = {path: _anchors(path, look) for path in files}
        witnesses = _witnesses([heads or {}, *anchors.values()])
        for path in files:
            known = witnesses.get(path.name, set())
            with _told_where_unreadable(path, look):
                if not (since_ms and _ended_before(path, since_ms, known)):
                    _check(path, known, look, on_entry)
                    named |= set(anchors[path])
        # What Redis names is missed whatever a line says: anybody who can write the files can add lines.
        missing = ((named - look.retired) | set(heads or ())) - {path.name for path in files}
    except OSError as error:
        raise LedgerUnavailable(f"the audit trail cannot be read: {type(error).__name__}") from error
    for name in sorted(missing):
        detail = "Redis or another chain names this file"
        look.findings.append(Finding(file=name, line=0, damage=Damage.MISSING_FILE, detail=detail))
    look.notes.extend(_unchecked(files, heads))
    return Verification(chains=len(files), entries=look.entries, findings=tuple(look.findings), notes=tuple(look.notes))


def _unchecked(files: Sequence[Path], heads: Mapping[str, Head] | None) -> Iterator[str]:
    if heads is None:
        yield "without Redis, cut tails and changed last lines are noticed only up to the next start"
    elif unknown := sum(path.name not in heads for path in files):
        yield f"Redis does not know where {unknown} of the chains end; only chains begun later vouch for them"


@contextmanager
def _told_where_unreadable(path: Path, look: _Look) -> Iterator[None]:
    """Make a chain that cannot be read a finding: it may hold anything, and the others can be read."""
    try:
        yield
    except FileNotFoundError:
        raise  # retired while we look: another look finds it so
    except OSError as error:
        finding = Finding(file=path.name, line=0, damage=Damage.UNREADABLE, detail=type(error).__name__)
        if finding not in look.findings:
            look.findings.append(finding)


def _anchors(path: Path, look: _Look) -> Mapping[str, Head]:
    with _told_where_unreadable(path, look):
        return anchors_of(path)
    return {}


def _witnesses(named: Iterable[Mapping[str, Head]]) -> Mapping[str, set[Head]]:
    """Return which entries of which chain are vouched for, by Redis or by the first line of another chain."""
    witnesses: dict[str, set[Head]] = defaultdict(set)
    for heads in named:
        for name, head in heads.items():
            witnesses[name].add(head)
    return witnesses


def _ended_before(path: Path, since_ms: int, witnesses: Collection[Head]) -> bool:
    """Return whether a chain's last line is old, and is one that somebody vouches for: what it says is true then."""
    line = last_line(path)
    if line is None or not witnesses:
        return False
    last = max(witnesses, key=lambda head: head.seq)
    return last.digest == digest_of(line) and time_ms_of(line) < since_ms


def _check(path: Path, witnesses: set[Head], look: _Look, on_entry: OnEntry) -> None:
    check = ChainCheck(path.name, witnesses)
    for line in whole_lines(path, look.notes):
        place = check.see(line)
        if place is None or check.findings:
            continue
        if place.event == AuditEvent.CHAIN_RETIRED:
            look.retired.add(str(json.loads(line).get("file")))
        on_entry(path, place, line)
    check.end()
    look.entries += check.entries
    look.findings.extend(check.findings)


def whole_lines(path: Path, notes: list[str]) -> Iterator[bytes]:
    """Yield the lines that end, without their newlines; a torn last one is noted.

    Nobody vouches for what a crash tore off: Redis and other chains name only entries that were synced whole. So where
    such an entry is torn, it is missing, and that is a finding.
    """
    number = 0
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if line.endswith(b"\n"):
                yield line[:-1]
            else:
                notes.append(f"{path.name}:{number}: torn by a crash, or being written")
    if number == 0:
        notes.append(f"{path.name}: empty")
