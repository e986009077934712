"""Wrong scripts: each is the right one with one promise taken out. The suite has to notice every one of them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from services.jobs import lua


@dataclass(frozen=True, kw_only=True)
class Change:
    """A text of one script file, which must be there exactly once, and what stands there instead."""

    file: str
    old: str
    new: str

    def check(self) -> None:
        """Fail loudly where the script has changed, so that this would change nothing."""
        found = lua.text_of(self.file).count(self.old)
        assert found == 1, f"{self.file}.lua holds {self.old!r} {found} times; mend the mutant"


@dataclass(frozen=True)
class Mutant:
    """``directed`` names the check of ``queue_checks`` that kills it; ``None`` where the state machine has to."""

    name: str
    changes: tuple[Change, ...]
    directed: str | None = None

    def source(self, script: str) -> str:
        """Return the text of a script with this mutation; what ``JobQueue(source=)`` takes."""
        return lua.source(script, text=partial(_changed, self.changes))


def _changed(changes: tuple[Change, ...], file: str) -> str:
    text = lua.text_of(file)
    for change in changes:
        if change.file == file:
            change.check()
            text = text.replace(change.old, change.new)
    return text


def _one(name: str, file: str, old: str, new: str = "", *, directed: str | None = None) -> Mutant:
    return Mutant(name, (Change(file=file, old=old, new=new),), directed)


_COUNT_CRASH = "if owner ~= ASIDE then film.crashes = redis.call('HINCRBY', instance(film.id), 'crashes', 1) end"
_FREE_FIRST = "  free(film.priority, film.mid)\n  redis.call('ZREM', RETRY, film.id)\n"
_LEAVE_AND_SETTLE = "  leave_open(film)\n  settle(film, verdict, done_at(film), by)\n"
_SETTLE_AND_LEAVE = "  settle(film, verdict, done_at(film), by)\n  leave_open(film)\n"
_ASK_HOLDER = "if holder(priority, mid) ~= consumer then return -1 end\n"
_COUNT_NO_LONGER = "  if film.counted then count_outcome(film, film.counted, -1) end\n"
_KEEP_PAST = "local kept = redis.call('RPUSH'"
_WITHDRAWN = "a_film_is_withdrawn_once_and_leaves_its_study_with_its_past"
_IF_KNOWN = "if redis.call('EXISTS', key) == 1 then"

MUTANTS = (
    Mutant(
        "finish writes the result before it acknowledges",
        (
            Change(file="finish", old="free(priority, mid)\nlocal film", new="local film"),
            Change(file="open_films", old=_FREE_FIRST, new=""),
            Change(file="open_films", old=_LEAVE_AND_SETTLE, new=_SETTLE_AND_LEAVE + _FREE_FIRST),
        ),
        "held_films_can_be_finished_while_redis_is_out_of_memory",
    ),
    _one("finish lets a second writer in", "finish", "if film.state == 'done' then", "if false then"),
    _one("finish takes a result of an earlier run", "finish", "if film.run ~= tonumber(ARGV[10]) then return 0 end"),
    _one("beat does not ask who holds the film", "beat", "if holder(priority, mid) == consumer then", "if true then"),
    _one("take makes the group from the end of the stream", "take", "GROUP, '0', 'MKSTREAM'", "GROUP, '$', 'MKSTREAM'"),
    _one(
        "take hands suspects out with others",
        "take",
        "if film and film.crashes > 0 then",
        "if false then",
        directed="suspects_run_alone",
    ),
    _one(
        "take keeps nothing for routine",
        "take",
        "take('stat', count - reserved)",
        "take('stat', count)",
        directed="routine_gets_its_share_under_a_flood_of_stat",
    ),
    _one("reap does not count the crash before the film runs", "reap", _COUNT_CRASH),
    _one("suspects does not see what reap would take", "suspects", "is_suspect(film, entry[2])", "false"),
    _one(
        "suspects names what its caller works on",
        "suspects",
        " and not held[film.id]",
        directed="no_worker_suspects_itself",
    ),
    _one("submit does not ask whether the film is known", "submit", _IF_KNOWN, "if false then"),
    _one(
        "submit writes something that frees before it adds",
        "submit",
        "local refused = refusal",
        "redis.call('ZREM', OPEN, id)\nlocal refused = refusal",
        directed="redis_out_of_memory_refuses_submits_whole",
    ),
    _one(
        "submit lets an object become a second film unseen",
        "submit",
        "if sibling and sibling ~= compared then return { 'sibling' } end\n",
        directed="an_object_becomes_no_second_film_unseen",
    ),
    _one(
        "submit takes what comes back from the spool for a revision",
        "submit",
        "compared ~= '*' and ",
        directed="films_of_an_object_come_back_from_the_spool_in_their_order",
    ),
    _one(
        "settle lets an object be forgotten before its film",
        "open_films",
        "  index_sop(film)\n",
        directed="an_object_is_known_as_long_as_its_film",
    ),
    _one(
        "rescore lets an object be forgotten while its film is open",
        "rescore",
        "index_sop(film)\n",
        directed="an_object_is_known_while_its_film_is_scored_again",
    ),
    _one(
        "submit lets in what a rejection note has named",
        "submit",
        "  withdraw_if_rejected(id, sop)\n",
        directed="an_object_that_was_rejected_before_it_comes_is_withdrawn",
    ),
    _one("submit does not look at bytes", "open_films", "+ bytes > limits.bytes then", "> limits.bytes then"),
    _one("submit gives one site everything", "open_films", "if sites > 1 and", "if false and"),
    _one("close leaves the entry in its stream", "shared", "  redis.call('XDEL', stream(priority), mid)\n"),
    _one(
        "close forgets the bytes",
        "open_films",
        "  if redis.call('DECRBY', OPEN_BYTES, film.bytes) <= 0 then redis.call('DEL', OPEN_BYTES) end\n",
    ),
    _one("close owes the ledger nothing", "open_films", "  redis.call('ZADD', LEDGER_DUE, now_ms(), film.id)\n"),
    _one(
        "release burns an attempt",
        "release",
        "      redis.call('HINCRBY', instance(id), 'attempts', -1)\n",
        directed="release_burns_no_attempt",
    ),
    _one("retry takes the film from whoever has it", "retry", _ASK_HOLDER, directed="zombie_puts_nothing_off"),
    _one(
        "reconcile queues what is being worked on",
        "reconcile",
        " or holder(film.priority, film.mid) ~= nil",
        directed="reconcile_leaves_a_healthy_queue_alone",
    ),
    _one(
        "expire believes the clock of Redis alone",
        "expire",
        "math.min(now - tonumber(open[at + 1]), caller_ms - film.submitted_ms)",
        "now - tonumber(open[at + 1])",
        directed="one_wrong_clock_ends_nothing",
    ),
    _one("rescore forgets the decision before", "open_films", _KEEP_PAST, _KEEP_PAST.replace("=", "= 1 or")),
    _one(
        "rescore forgets what it owes the ledger",
        "open_films",
        "    redis.call('ZADD', LEDGER_DUE, due_ms, film.id .. ':' .. (kept - 1))\n",
    ),
    _one("rescore counts the film twice in its study", "rollup", _COUNT_NO_LONGER),
    _one("withdraw forgets the decision before", "withdrawal", "    give_up(film)\n", directed=_WITHDRAWN),
    _one("withdraw takes off what was not pending", "withdrawal", "    count_pending(film)\n", directed=_WITHDRAWN),
    _one("withdraw does not ask", "withdrawal", "film.counted == 'withdrawn'", "false", directed=_WITHDRAWN),
    _one("close owes the targets nothing", "open_films", "  owe_targets(film)\n"),
    _one(
        "lease forgets who sends an earlier decision",
        "deliver_lease",
        "if until_ms then",
        "if false then",
        directed="nothing_overtakes_what_somebody_sends",
    ),
    _one(
        "lease hands out what was replaced", "deliver_lease", "if number ~= decision_number(film) then", "if false then"
    ),
    _one(
        "delivered takes nothing off",
        "deliver_end",
        "function steps.delivered() forget_owed(target, member) end",
        "function steps.delivered() end",
        directed="what_was_delivered_is_owed_no_more",
    ),
    _one("withdrawn films stay in their study", "rollup", "    redis.call('HINCRBY', key, 'films', -1)\n"),
)
