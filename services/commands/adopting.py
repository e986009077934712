"""Sites take a bundle's own point as their policy, before it is activated.

Owns what a site decides by where nobody chose for it. Must not know workers; ``activating`` does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from services.jobs.errors import PolicyChanged
from services.jobs.ledger.entries import Note
from services.jobs.ledger.policies import policy_changed
from services.jobs.operating_tables import OperatingTable
from services.jobs.policies import Policies, draft_of

_WHY: Final = "the bundle's own point, adopted when it was activated"


async def adopt_default_point(
    policies: Policies,
    table: OperatingTable,
    *,
    by: str,
    note: Callable[[Note], None],
    tell: Callable[[str], None],
) -> None:
    """Have every site that chose a policy, but none for this bundle, decide by the bundle's default point.

    Each is a version of its own, in history and audit trail; repeatable. Who chooses meanwhile keeps its choice.

    Raises
    ------
    QueueUnavailable
        If Redis does not answer; sites until then have theirs.
    """
    while missing := (await policies.read()).missing(table.model.digest):
        for site in missing:
            point = table.default
            draft = draft_of(
                table, site=site, threshold=point.threshold, name=point.name, by=by, floor=None, override_reason=_WHY
            )
            try:
                policy = await policies.put(draft, seen=await policies.latest(site))
            except PolicyChanged:
                continue  # somebody chooses at this moment; the next look says whether for this bundle
            note(policy_changed(policy, who=by))
            tell(f"{site}: policy {policy.version} is {point.name}, {point.threshold:.4f}")
