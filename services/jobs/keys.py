"""Names of everything in Redis.

One hash tag, so that all keys of a script live in one slot. Public: renaming one is a breaking change.
"""

from __future__ import annotations

from services.jobs.records import Priority

TAG = "{cxr}"
GROUP = "w"

OPEN = f"{TAG}:open"  # zset id -> ms since when it waits; every film without an outcome
RETRY = f"{TAG}:retry"  # zset id -> due ms by Redis' clock
DEAD = f"{TAG}:dead"  # capped stream of films that ended not_assessed by our fault
EVENTS = f"{TAG}:events"  # capped stream of changes; lossy by design, polling is the truth
REVISION = f"{TAG}:worklist:revision"  # number that every visible change raises; never comes again
WORKERS = f"{TAG}:workers"  # hash consumer -> what it serves and when it was last alive
SHARE = f"{TAG}:share"  # counter of taken jobs, from which routine's share follows
REPLIES = f"{TAG}:replies"  # hash consumer -> what its last take handed out, in case the reply was lost
PROBE = f"{TAG}:probe"  # written to see whether Redis accepts writes
EPOCH = f"{TAG}:epoch"  # random, written once: another one says that Redis has lost everything
SITES = f"{TAG}:sites"  # set of the sites that have studies
OPEN_BYTES = f"{TAG}:open:bytes"  # counter: payload bytes of the films without an outcome
OPEN_OF_SITE = f"{TAG}:open:sites"  # hash site -> its films without an outcome
# An outbox: zset id, or id:n for entry n of its history -> ms from when that decision may be written to the ledger.
LEDGER_DUE = f"{TAG}:ledger:due"
LEDGER_HEADS = f"{TAG}:ledger:heads"  # hash chain file -> its last entry, so that a cut tail is noticed
DELIVER_TARGETS = f"{TAG}:deliver:targets"  # set of the targets that get every decision made from now on
DELIVER_KNOWN = f"{TAG}:deliver:known"  # set of the targets that were ever announced; what they are owed stays theirs
DELIVER_DISABLED = f"{TAG}:deliver:disabled"  # hash target -> why it takes nothing until somebody enables it
REJECTIONS = f"{TAG}:rejections"  # there once every rejection note is known; a Redis that lost everything lacks it
POLICIES = f"{TAG}:policies"  # hash site|digest -> that site's current policy; besides revision, and since when known
SETTLED = f"{TAG}:settled"  # zset site|study -> number: studies without open films that are not counted as they are now
ASSESSMENTS_KNOWN = f"{TAG}:assessments"  # there once every ledgered assessment is known, as REJECTIONS is
TABLES = f"{TAG}:tables"  # hash digest -> a model's operating table
BUNDLE = f"{TAG}:bundle"  # hash: which bundle is active, which is a candidate, and how candidates fared


def queue(priority: Priority) -> str:
    """Return the work stream of a priority."""
    return f"{TAG}:q:{priority}"


def instance(film_id: str) -> str:
    """Return the hash of a film: job, state and record."""
    return f"{TAG}:s:{film_id}"


def history(film_id: str) -> str:
    """Return the list of a film's earlier decisions, oldest first; there where an admin had it scored again."""
    return f"{TAG}:history:{film_id}"


def session(token_digest: str) -> str:
    """Return the string that holds a page session: the key's id; its name holds the digest of the cookie."""
    return f"{TAG}:session:{token_digest}"


def study(site: str, study_uid: str) -> str:
    """Return the hash of a study: its roll-up's counters."""
    return f"{TAG}:study:{site}|{study_uid}"


def study_members(site: str, study_uid: str) -> str:
    """Return the zset of a study's films: id -> submitted ms."""
    return f"{TAG}:members:{site}|{study_uid}"


def worklist(site: str, priority: Priority, rollup: str) -> str:
    """Return the zset of a site's studies of one priority and roll-up class: study_uid -> submitted ms."""
    return f"{TAG}:worklist:{site}|{priority}|{rollup}"


def sop(site: str, sop_instance_uid: str) -> str:
    """Return the zset of an object's films: id -> ms when it came. Another one where its pixels were others."""
    return f"{TAG}:sop:{site}|{sop_instance_uid}"


def waiting(site: str, priority: Priority) -> str:
    """Return the zset of a site's studies of one priority that have open films: study_uid -> submitted ms."""
    return f"{TAG}:waiting:{site}|{priority}"


def rejected(site: str, sop_instance_uid: str) -> str:
    """Return the string that says that a rejection note has named this object: what its films' results become."""
    return f"{TAG}:rejected:{site}|{sop_instance_uid}"


def delivery(part: str, target: str) -> str:
    """Return what a target is owed.

    ``due`` (zset) and ``dead`` (zset) hold decisions, ``<id>:<n>``, by when they may be sent and by when they were
    given up; ``since`` (zset) those that are due, by when they became so; ``notes`` (hash) how each has fared.
    """
    return f"{TAG}:deliver:{part}:{target}"


def policy_history(site: str) -> str:
    """Return the list of a site's policies, oldest version first, the last 1,000."""
    return f"{TAG}:policy:{site}"


def recent(site: str) -> str:
    """Return the zset of a site's films that were scored last: id -> done ms; the last 5,000."""
    return f"{TAG}:recent:{site}"


def standing(site: str, study_uid: str) -> str:
    """Return the string that says what a study was last counted as, and whether it was drawn to be read blind."""
    return f"{TAG}:standing:{site}|{study_uid}"


def tally(site: str) -> str:
    """Return the hash that counts a site's decided studies: day, model, policy and outcome -> studies."""
    return f"{TAG}:tally:{site}"


def assessments(site: str, study_uid: str) -> str:
    """Return the list of a study's assessments, oldest first."""
    return f"{TAG}:assessments:{site}|{study_uid}"


def truths(site: str) -> str:
    """Return the hash of a site's assessed studies: ``standing``, and the ``blind`` and ``open`` truth that counts.

    Fields are ``<part>|<study_uid>``.
    """
    return f"{TAG}:truths:{site}"
