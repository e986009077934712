"""Policies written down and read back: what decided a site's films, version by version.

Streams every chain, as ``reading`` does. Must not know Redis.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel

from services.jobs.ledger.entries import AuditEvent, Head, Note
from services.jobs.ledger.facts import read_facts
from services.jobs.policies import SitePolicy


class _Changed(BaseModel):
    """What an entry says that matters here."""

    policy: SitePolicy


def policy_changed(policy: SitePolicy, *, who: str | None, source: str | None = None) -> Note:
    """Return the entry of a policy that was set, with all that restores it."""
    facts = {"site": policy.site, "who": who, "source": source, "digest": policy.model.digest}
    return Note(event=AuditEvent.POLICY_CHANGED, facts=facts | {"policy": policy.model_dump(mode="json")})


def read_policies(directory: Path, heads: Mapping[str, Head] | None) -> list[SitePolicy]:
    """Return every policy of the trail, however old: the last one decides until somebody sets another.

    A chain with any finding says nothing at all: a line that somebody added would choose what is flagged.

    Raises
    ------
    LedgerUnavailable
        If the directory cannot be read.
    """
    return [entry.policy for entry in read_facts(directory, heads, event=AuditEvent.POLICY_CHANGED, facts=_Changed)]
