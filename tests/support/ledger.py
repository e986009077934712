"""Chains as processes leave them, for tests that damage them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from services.jobs.ledger.chain import Chain
from services.jobs.ledger.chain_files import chain_files, head_of
from services.jobs.ledger.entries import AuditEvent, Head, Note


def write_chain(directory: Path, *, entries: int, service: str = "worker", is_stopped: bool = True) -> Path:
    """Leave the chain of a process that noted ``entries`` films and ended; return its file."""
    chain = Chain(directory, service)
    for number in range(entries):
        chain.append([Note(event=AuditEvent.ACCEPTED, facts={"film": f"{number:032x}", "source": "127.0.0.1"})])
    chain.append([Note(event=AuditEvent.STOPPED)] if is_stopped else [])
    chain.close()
    assert chain.name is not None
    return directory / chain.name


def heads_in(directory: Path) -> dict[str, Head]:
    """Return what Redis would know of the chains' ends."""
    heads = {path.name: head_of(path) for path in chain_files(directory)}
    return {name: head for name, head in heads.items() if head is not None}


def entries_in(directory: Path) -> list[dict[str, Any]]:
    """Return what the chains hold, also while they are being written: a last line without its end is not there yet."""
    contents = [path.read_bytes().rpartition(b"\n")[0] for path in sorted(directory.rglob("*.jsonl"))]
    return [json.loads(line) for content in contents for line in content.splitlines()]


def lines_of(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines()


def put_lines(path: Path, lines: Sequence[bytes]) -> None:
    path.write_bytes(b"".join(line + b"\n" for line in lines))
