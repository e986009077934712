"""A film from one program of dcmtk to another: sent by storescu, scored, its results taken by storescp."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.dcmtk import StoreScp, dsrdump, elements, recoded, storescu
from tests.support.gateway import START_SECONDS, ListeningProcess, wait_until
from tests.support.pacs import OUR_AET, delivery_process, dimse_process, owed, study_of_films
from tests.support.parts import Parts, wait_quiet

MODALITY = "CR_ROOM_1"
REPORT, OVERLAY = "SR", "OT"
TARGETS = """
[[target]]
kind = "cstore"
name = "dcmtk"
address = "127.0.0.1:{port}"
called_ae_title = "{aet}"
"""


@pytest.fixture(scope="module")
def target(module_parts: Parts) -> StoreScp:
    """Where results go; it runs only where a test lets it."""
    return StoreScp(module_parts.directory)


@pytest.fixture(scope="module")
def listener(module_parts: Parts, target: StoreScp) -> Iterator[ListeningProcess]:
    """Everything between the two programs, for all tests of this module."""
    targets = module_parts.directory / "targets.toml"
    targets.write_text(TARGETS.format(port=target.port, aet=target.aet))
    with ExitStack() as stack:
        stack.enter_context(module_parts.worker())
        stack.enter_context(delivery_process(module_parts, targets=targets)).wait_ready()
        listener = stack.enter_context(dimse_process(module_parts, callers={MODALITY: "default"}))
        listener.wait_ready()
        yield listener


def send(listener: ListeningProcess, *paths: Path, propose: str = "explicit") -> tuple[int, ...]:
    sent = storescu(listener.ports()["port"], *paths, called=OUR_AET, calling=MODALITY, propose=propose)
    assert sent.exit_status == 0, sent.output
    return sent.statuses


def test_reports_of_films_in_every_encoding_are_what_dcmtk_calls_reports(
    listener: ListeningProcess, target: StoreScp, module_parts: Parts, tmp_path: Path
) -> None:
    study_uid, films = study_of_films("walk", 5, SpecificCharacterSet="ISO_IR 192", PatientName="山田^太郎")
    syntaxes = ("implicit", "explicit", "rle", "jpeg_lossless", "jpeg_ls")
    for film, syntax in zip(films, syntaxes, strict=True):
        path = tmp_path / f"{syntax}.dcm"
        path.write_bytes(film)
        assert send(listener, recoded(path, syntax, tmp_path), propose=syntax) == (0,)
    with target.running():
        wait_quiet(module_parts.server, seconds=START_SECONDS)
        wait_until(lambda: owed(module_parts, "dcmtk") == 0, what="delivery")
    found = received(target, study_uid)
    assert sorted(facts["Modality"] for facts in found.values()) == [OVERLAY] * 5 + [REPORT] * 5, "one of each"
    assert {facts["PatientName"] for facts in found.values()} == {"山田^太郎"}
    reports = [path for path, facts in found.items() if facts["Modality"] == REPORT]
    assert all("Triage outcome" in dsrdump(path) for path in reports)


def test_target_that_was_not_there_gets_each_result_once(
    listener: ListeningProcess, target: StoreScp, module_parts: Parts, tmp_path: Path
) -> None:
    study_uid, (film,) = study_of_films("late", 1)
    path = tmp_path / "film.dcm"
    path.write_bytes(film)
    assert send(listener, path, path) == (0, 0)
    wait_until(lambda: owed(module_parts, "dcmtk") == 1, what="the decision")
    with target.running():
        wait_until(lambda: owed(module_parts, "dcmtk") == 0, what="delivery")
    before = [path.stat().st_mtime_ns for path in received(target, study_uid)]
    assert len(before) == 2
    assert send(listener, path) == (0,)
    wait_quiet(module_parts.server, seconds=START_SECONDS)
    assert owed(module_parts, "dcmtk") == 0, "the same film again is no new decision"
    assert [path.stat().st_mtime_ns for path in received(target, study_uid)] == before


def received(target: StoreScp, study_uid: str) -> dict[Path, dict[str, str]]:
    """Return what has come of a study: files, and what is in them."""
    found = {path: facts_of(path) for path in target.files()}
    return {path: facts for path, facts in found.items() if facts["StudyInstanceUID"] == study_uid}


def facts_of(path: Path) -> dict[str, str]:
    """Return the first value of each keyword of an object."""
    found: dict[str, str] = {}
    for element in elements(path):
        found.setdefault(element.keyword, element.value)
    return found
