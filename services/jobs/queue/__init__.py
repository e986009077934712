"""The queue between gateway and worker: streams, one hash a film, and Lua scripts that make each step atomic.

RELIABILITY.md §3 is the specification. Redis 6.2 suffices; no module, no newer command. Every write is a script that
may be repeated, because redis-py retries and a lost reply must not make a second job, nor count a second attempt.
One module for each kind of caller: ``admission`` (films come in), ``looking`` (records), ``working`` (films are taken
and end), ``upkeep`` (now and then), ``rescoring`` (once more), ``withdrawing`` (taken back). The beat of held films is
in ``services.jobs.beat`` (own thread, own connection), the comparison of queue and spool in ``reconcile``, the read
side of studies in ``worklist``, clients and their timeouts in ``connection``. Knows no payloads.
"""

from __future__ import annotations

from services.jobs.limits import QueueLimits
from services.jobs.queue.admission import Admission, Sibling, Submission
from services.jobs.queue.looking import Looking, Registration
from services.jobs.queue.rescoring import DeadFilm, Rescoring
from services.jobs.queue.upkeep import Upkeep
from services.jobs.queue.withdrawing import Withdrawal, Withdrawing
from services.jobs.queue.working import ROUTINE_SHARE, Working

__all__ = [
    "ROUTINE_SHARE",
    "DeadFilm",
    "JobQueue",
    "QueueLimits",
    "Registration",
    "Sibling",
    "Submission",
    "Withdrawal",
]


class JobQueue(Rescoring, Withdrawing, Admission, Looking, Working, Upkeep):
    """The whole queue; its constructor is that of ``Scripted``."""
