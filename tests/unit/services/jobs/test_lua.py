"""The scripts travel with the package and agree with it on names."""

from __future__ import annotations

import re
from datetime import timedelta

from services.jobs import keys, lua
from services.jobs.ledger.restore import RECORDS_LIVE
from services.jobs.reconcile import Retention
from services.jobs.records import Priority
from services.jobs.settings import AuditSettings


def test_every_script_is_found_in_the_package() -> None:
    assert {"submit", "take", "beat", "finish", "reap", "retry", "promote", "release", "reconcile"} <= set(lua.NAMES)
    assert "shared" not in lua.NAMES
    for name in lua.NAMES:
        assert lua.source(name).startswith(f"local TAG = '{keys.TAG}'")


def test_names_built_in_lua_are_those_of_keys() -> None:
    shared = lua.source("take")
    for built, pattern in (
        (keys.queue(Priority.STAT), "TAG .. ':q:' .. priority"),
        (keys.instance("x"), "TAG .. ':s:' .. id"),
        (keys.study("a", "b"), "TAG .. ':study:' .. site .. '|' .. study"),
        (keys.study_members("a", "b"), "TAG .. ':members:' .. site .. '|' .. study"),
        (keys.worklist("a", Priority.STAT, "c"), "TAG .. ':worklist:' .. site .. '|' .. priority .. '|' .. class"),
        (keys.sop("a", "b"), "TAG .. ':sop:' .. site .. '|' .. sop"),
        (keys.rejected("a", "b"), "TAG .. ':rejected:' .. site .. '|' .. uid"),
        (keys.delivery("due", "a"), "TAG .. ':deliver:' .. part .. ':' .. target"),
        (keys.waiting("a", Priority.STAT), "TAG .. ':waiting:' .. site .. '|' .. priority"),
    ):
        assert pattern in shared
        prefix = pattern.split("'")[1]
        assert built.startswith(keys.TAG + prefix)


def test_records_live_as_long_as_restoring_thinks_longer_than_payloads_and_shorter_than_the_trail() -> None:
    found = re.search(r"^local RECORD_SECONDS = (\d+) \* (\d+) ", lua.text_of("shared"), re.MULTILINE)
    assert found is not None
    seconds = int(found[1]) * int(found[2])
    assert timedelta(seconds=seconds) == RECORDS_LIVE
    assert max(Retention().scored_seconds, Retention().unread_seconds) < seconds
    (least,) = [bound.ge for bound in AuditSettings.model_fields["retention_days"].metadata if hasattr(bound, "ge")]
    assert timedelta(days=least) > RECORDS_LIVE
