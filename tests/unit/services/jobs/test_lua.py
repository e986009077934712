"""The scripts travel with the package and agree with it on names."""

from __future__ import annotations

from services.jobs import keys, lua
from services.jobs.records import Priority


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
        (keys.waiting("a", Priority.STAT), "TAG .. ':waiting:' .. site .. '|' .. priority"),
    ):
        assert pattern in shared
        prefix = pattern.split("'")[1]
        assert built.startswith(keys.TAG + prefix)
