"""Rejection notes (IHE IOCM): what one names is withdrawn in its site, now or when it comes.

A note is not kept: its effect is, in Redis and in the audit trail. Place in the walk: beside it, called by whatever
takes DICOM objects in. Knows neither HTTP nor DIMSE.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from model.decoding.key_object import KeyObject
from services.jobs.ledger.entries import AuditEvent, Note
from services.jobs.ledger.trail import AuditTrail
from services.jobs.queue import JobQueue

_OBJECTS_OF_AN_ENTRY: Final = 500  # 33 KB a line at most


@dataclass(frozen=True, kw_only=True)
class Rejection:
    """What a document did.

    Attributes
    ----------
    withdrawn
        Ids of the films that it withdrew; without those that were withdrawn before.
    named
        How many objects it rejects; 0 where its title is not one that rejects.
    """

    withdrawn: tuple[str, ...]
    named: int


async def reject(
    note: KeyObject, *, site: str, queue: JobQueue, audit: AuditTrail, who: str | None, source: str | None
) -> Rejection:
    """Withdraw every film of the objects that a rejection note names, and those that come later; repeatable.

    A document of another title does nothing. ``who`` and ``source`` are what the audit trail says of its sender.

    Raises
    ------
    QueueUnavailable
        If Redis does not answer. Some films may be withdrawn then; the sender has to come again.
    """
    if not note.is_rejection:
        return Rejection(withdrawn=(), named=0)
    objects = [(reference.study_uid, reference.sop_instance_uid) for reference in note.references]
    withdrawn = await queue.withdraw_objects(site, objects)
    sender = {"site": site, "who": who, "source": source, "code": note.title}
    for at in range(0, len(objects), _OBJECTS_OF_AN_ENTRY):
        # By these the note takes effect again where Redis has lost everything (ledger.rejections).
        named = [uid for _, uid in objects[at : at + _OBJECTS_OF_AN_ENTRY]]
        facts = {"study": note.study_uid, **sender, "count": len(named), "objects": named}
        audit.note_facts(Note(event=AuditEvent.REJECTED, facts=facts))
    for film_id in withdrawn:
        audit.note_facts(Note(event=AuditEvent.WITHDRAWN, facts={"film": film_id, **sender}))
    return Rejection(withdrawn=tuple(withdrawn), named=len(objects))
