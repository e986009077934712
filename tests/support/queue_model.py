"""What the queue has promised so far, remembered beside it: the oracle of the state machine."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from itertools import groupby

from model.decision import Outcome
from model.errors import Reason
from services.jobs.errors import JobsError, NotRescorable, QueueFull, SiteShareUsed
from services.jobs.limits import Deadlines, QueueLimits
from services.jobs.queue.scripted import OUR_FAULT
from services.jobs.records import Job, Record, TakenJob
from services.jobs.worklist import RollUp

LIMITS = QueueLimits(routine_depth=16, stat_reserve=4, open_bytes=250, site_share=0.5)
DEADLINES = Deadlines(stat_seconds=1000, routine_seconds=3000, of_sites={"north/stat": 2000})

Winner = tuple[str, int, int]


def finisher(taken: TakenJob) -> Winner:
    """Return whom the finish script takes the holder of a job for."""
    return (taken.message_id, taken.taken_ms, taken.crashes)


@dataclass
class QueueModel:
    """Every film that was acknowledged, and what is known of each.

    ``counted`` is what the roll-up counts of a film: its outcome, or the last one where it is being scored again;
    ``lateral`` those whose counted outcome is that of a lateral.
    """

    accepted: dict[str, Job] = field(default_factory=dict)
    results: dict[str, Record] = field(default_factory=dict)
    winners: dict[str, Winner] = field(default_factory=dict)
    past: dict[str, list[Record]] = field(default_factory=dict)
    counted: dict[str, Record] = field(default_factory=dict)
    lateral: set[str] = field(default_factory=set)
    open_seconds: dict[str, int] = field(default_factory=dict)
    forgotten: set[str] = field(default_factory=set)
    owed: set[str] = field(default_factory=set)
    told: set[str] = field(default_factory=set)
    buried: set[str] = field(default_factory=set)
    held: set[str] = field(default_factory=set)

    @property
    def open(self) -> list[Job]:
        return [job for film_id, job in self.accepted.items() if film_id not in self.results]

    def run(self, film_id: str) -> int:
        return len(self.past.get(film_id, ()))

    def last_decision(self, film_id: str) -> str:
        """Return the name of a film's decision, or, while it is scored again, of the one that it had."""
        return f"{film_id}:{self.run(film_id) + (film_id in self.results)}"

    def accept(self, job: Job) -> None:
        self.accepted[job.id] = job
        self.open_seconds[job.id] = 0

    @property
    def objects(self) -> dict[tuple[str, str], list[str]]:
        """Return the ids of the films of each object, by site and SOPInstanceUID, the newest last."""
        films: dict[tuple[str, str], list[str]] = defaultdict(list)
        for film in self.accepted.values():
            films[film.site, film.sop_instance_uid or ""].append(film.id)
        return films

    def refusal(self, job: Job, *, depth: int) -> type[JobsError] | None:
        """Return what a submit of this film has to raise, where ``depth`` entries wait, are held or put off."""
        limit = LIMITS.depth(job.priority)
        if depth >= limit or sum(film.payload_bytes for film in self.open) + job.payload_bytes > LIMITS.open_bytes:
            return QueueFull
        sites = {film.site for film in self.accepted.values()} | {job.site}
        of_site = sum(film.site == job.site for film in self.open)
        return SiteShareUsed if len(sites) > 1 and of_site >= int(limit * LIMITS.site_share) else None

    def refusal_to_reopen(self, film_id: str, *, depth: int, by_our_fault: bool) -> type[JobsError] | None:
        """Return what an order to score a film again has to raise."""
        result = self.results.get(film_id)
        if result is None:
            return None if self.run(film_id) else NotRescorable
        is_withdrawn = result.reason is Reason.WITHDRAWN
        if is_withdrawn or film_id in self.forgotten or (by_our_fault and result.reason not in OUR_FAULT):
            return NotRescorable
        return self.refusal(self.accepted[film_id], depth=depth)

    def wins(self, taken: TakenJob) -> bool:
        """Return whether a finish of this job has to be told that its result stands."""
        if taken.job.id in self.results:
            return self.winners.get(taken.job.id) == finisher(taken)
        return taken.run == self.run(taken.job.id)

    def end(self, record: Record) -> None:
        self.results[record.id] = self.counted[record.id] = record
        self.owed.add(record.id)

    def reopen(self, film_id: str) -> None:
        self.past.setdefault(film_id, []).append(self.results.pop(film_id))
        self.winners.pop(film_id, None)
        self.open_seconds[film_id] = 0
        if film_id in self.owed:
            self.owed.remove(film_id)
            self.owed.add(f"{film_id}:{len(self.past[film_id]) - 1}")

    def withdraw(self, film_id: str) -> None:
        """Take a film back; the watch sees the record that it ends with."""
        if film_id in self.results:
            self.reopen(film_id)
        self.lateral.discard(film_id)

    def late(self) -> set[str]:
        """Return the open films that are past their deadline."""
        return {job.id for job in self.open if self.open_seconds[job.id] > DEADLINES.of(job.site, job.priority)}

    def lose_everything(self) -> None:
        for lost in (self.results, self.winners, self.past, self.counted, self.lateral, self.forgotten):
            lost.clear()
        self.owed.clear()
        self.told.clear()
        self.buried.clear()
        self.held.clear()
        self.open_seconds = dict.fromkeys(self.accepted, 0)

    def studies(self) -> dict[tuple[str, str], tuple[RollUp, int, int, int]]:
        """Return what each listed study has to amount to: roll-up, films, pending, unread (DESIGN §6)."""

        def place(job: Job) -> tuple[str, str]:
            return job.site, job.study_uid

        studies = {}
        for study, jobs in groupby(sorted(self.accepted.values(), key=place), key=place):
            ids = [job.id for job in jobs]
            withdrawn = {i for i in ids if i in self.counted and self.counted[i].reason is Reason.WITHDRAWN}
            listed = [film_id for film_id in ids if film_id not in withdrawn]
            if listed:
                studies[study] = self._amount_to(listed)
        return studies

    def _amount_to(self, ids: list[str]) -> tuple[RollUp, int, int, int]:
        outcomes = Counter(self.counted[film_id].outcome for film_id in ids if film_id in self.counted)
        laterals = len(self.lateral.intersection(ids))
        pending = sum(film_id not in self.results for film_id in ids)
        unread = outcomes[Outcome.NOT_ASSESSED]
        if outcomes[Outcome.FLAGGED]:
            rollup = RollUp.FLAGGED
        elif unread > laterals or (laterals and not outcomes[Outcome.NOT_FLAGGED]):
            rollup = RollUp.NOT_ASSESSED
        else:
            rollup = RollUp.PENDING if pending else RollUp.NOT_FLAGGED
        return rollup, len(ids), pending, unread
