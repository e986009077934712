"""The pages that integrators read speak of settings, commands, codes and events that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from model.decoding.transfer_syntaxes import JUDGED_TRANSFER_SYNTAXES
from services.dicom.codes import PRODUCED, SOP_CLASSES
from services.jobs.ledger.entries import DICOM_EVENTS
from services.jobs.settings import variable_names
from tests.support.command_line import commands

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGES = ["../README.md", "integration.md", "conformance.md"]


@pytest.mark.parametrize("page", PAGES)
def test_settings_of_the_page_exist(page: str) -> None:
    named = set(re.findall(r"\bCXR_[A-Z_]*[A-Z]\b", (DOCS / page).read_text())) - {"CXR_TRIAGE"}
    assert named
    assert named <= set(variable_names())


@pytest.mark.parametrize("page", PAGES)
def test_commands_of_the_page_exist(page: str) -> None:
    named = re.findall(r"cxr-triage ([a-z]+)(?: ([a-z]+))?", (DOCS / page).read_text())
    assert named
    known = commands()
    groups = {command.partition(" ")[0] for command in known if " " in command}
    for command, below in named:
        assert (f"{command} {below}" if command in groups and below else command) in known


def test_statement_names_every_class_and_transfer_syntax() -> None:
    text = (DOCS / "conformance.md").read_text()
    uids = {known.uid for known in (*SOP_CLASSES, *PRODUCED)} | JUDGED_TRANSFER_SYNTAXES
    assert not [uid for uid in uids if f"`{uid}`" not in text]


def test_no_code_of_ours_says_that_a_film_is_normal() -> None:
    codes = re.findall(r"^\| [^|]+ \| `(\w+)` \| \w+ \| [^|]+ \|$", (DOCS / "conformance.md").read_text(), re.MULTILINE)
    assert {"FLAGGED", "NOT_FLAGGED", "NOT_ASSESSED"} <= set(codes)
    assert "111286" not in codes, "No abnormality"


def test_every_event_is_in_the_page_of_the_audit_trail() -> None:
    rows = re.findall(r"^\| (`[^|]+) \| ([\d, ]+) \|", (DOCS / "audit.md").read_text(), re.MULTILINE)
    described: dict[str, str] = {}
    for names, numbers in rows:
        found = numbers.split(", ")
        events = re.findall(r"`(\w+)`", names)
        described |= zip(events, found if len(found) > 1 else found * len(events), strict=True)
    assert described == {str(event): number for event, number in DICOM_EVENTS.items()}
