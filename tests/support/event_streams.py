"""Server-sent events, read as a browser reads them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Event:
    """One event that a browser would tell its page of; ``id`` is what it would send as Last-Event-ID afterwards."""

    name: str
    data: dict[str, Any]
    id: str


@dataclass
class EventReader:
    """Reads the lines of a stream.

    Attributes
    ----------
    last_id
        As a browser keeps it: blocks without data move it on, too.
    comments
        Those that came so far.
    """

    lines: Iterable[str]
    last_id: str = ""
    comments: list[str] = field(default_factory=list)

    def events(self) -> Iterator[Event]:
        """Yield the events as they come, until the stream ends."""
        for fields in self.blocks():
            if "data" in fields:
                yield Event(name=fields.get("event", "message"), data=json.loads(fields["data"]), id=self.last_id)

    def blocks(self) -> Iterator[dict[str, str]]:
        """Yield the fields of every block, those without data included."""
        fields: dict[str, str] = {}
        for line in self.lines:
            if line:
                name, _, value = line.partition(":")
                fields[name or "comment"] = value.removeprefix(" ")
                continue
            self.last_id = fields.get("id", self.last_id)
            if "comment" in fields:
                self.comments.append(fields["comment"])
            yield fields
            fields = {}
