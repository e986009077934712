"""A real archive (Orthanc) sends studies by STOW-RS and by C-STORE, and finds the results under them."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pydicom
import pytest

from services.dicom.codes import COMPREHENSIVE_3D_SR, SECONDARY_CAPTURE
from services.dicom.uids import ResultKind, series_uid
from tests.support.dcmtk import dsrdump, recoded, storescu
from tests.support.dicom3tools import dciodvfy
from tests.support.films import EXPLICIT, JPEG_2000_LOSSLESS
from tests.support.gateway import wait_until
from tests.support.key_objects import REJECTED_FOR_QUALITY, key_object
from tests.support.pacs import DIMSE, OUR_AET, WEB, Hospital, hospital, study_of_films, upload_all
from tests.support.parts import Parts

SCORED = {"flagged", "not_flagged"}
FILMS = 25
# So many that the pauses between them have long become as long as they get.
PROBES = 10


@pytest.fixture(scope="module")
def running(module_parts: Parts) -> Iterator[Hospital]:
    """One hospital for this module; each test has studies of its own."""
    with hospital(module_parts) as everything:
        yield everything


def results(running: Hospital, study_uid: str) -> Counter[str]:
    """Count the archive's objects of a study by SOP class, films left out."""
    found = Counter(stored.sop_class_uid for stored in running.archive.objects(study_uid))
    return Counter({name: count for name, count in found.items() if name in (COMPREHENSIVE_3D_SR, SECONDARY_CAPTURE)})


def one_of_each(films: int) -> Counter[str]:
    return Counter({COMPREHENSIVE_3D_SR: films, SECONDARY_CAPTURE: films})


@pytest.mark.parametrize("first", ["stow", "store"])
def test_study_of_25_films_is_scored_whichever_way_it_comes_and_once_if_it_comes_both_ways(
    running: Hospital, first: str
) -> None:
    study_uid, films = study_of_films(f"both ways, {first}", FILMS)
    names = upload_all(running.archive, films)
    ways = [partial(running.archive.stow, WEB, names), partial(running.archive.store, DIMSE, names)]
    send, send_again = ways if first == "stow" else ways[::-1]
    pushed = send()
    assert pushed.is_success, pushed.answer
    decided = running.wait_decided(study_uid, count=FILMS)
    assert len(decided) == FILMS
    assert {film["outcome"] for film in decided} <= SCORED
    again = send_again()
    assert again.is_success, again.answer
    assert running.films(study_uid) == decided, "the same ids, the same results"


def test_results_are_found_under_the_original_study_and_keep_the_rules_of_their_classes(
    running: Hospital, tmp_path: Path
) -> None:
    study_uid, films = study_of_films("results", 3)
    originals = {str(pydicom.dcmread(path_of(tmp_path, film)).SOPInstanceUID) for film in films}
    assert running.archive.stow(WEB, upload_all(running.archive, films)).is_success
    decided = running.wait_decided(study_uid, count=3)
    running.wait_delivered()
    assert results(running, study_uid) == one_of_each(3)
    stored = running.archive.objects(study_uid)
    assert running.archive.seen_by_viewers(study_uid) == {one.sop_instance_uid for one in stored}
    ours = [one for one in stored if one.sop_instance_uid not in originals]
    assert {one.series_uid for one in ours} == {
        series_uid(kind, film["id"]) for film in decided for kind in (ResultKind.REPORT, ResultKind.OVERLAY)
    }
    for one in ours:
        path = tmp_path / f"{one.sop_instance_uid}.dcm"
        path.write_bytes(running.archive.fetch(one.sop_instance_uid))
        assert dciodvfy(path).errors == ()
        assert pydicom.dcmread(path, stop_before_pixels=True).PatientName == "Phantom^Results"
        if one.sop_class_uid == COMPREHENSIVE_3D_SR:
            assert any(uid in dsrdump(path) for uid in originals), "a report names its film"


def test_second_push_adds_nothing_to_the_archive(running: Hospital) -> None:
    study_uid, films = study_of_films("again", 5)
    names = upload_all(running.archive, films)
    assert running.archive.store(DIMSE, names).is_success
    decided = running.wait_decided(study_uid, count=5)
    running.wait_delivered()
    before = running.archive.objects(study_uid)
    assert len(before) == 15
    for push in (running.archive.store(DIMSE, names), running.archive.stow(WEB, names)):
        assert push.is_success, push.answer
    assert running.films(study_uid) == decided
    assert running.owed() == 0, "no new decision, so that nothing is owed"
    assert running.archive.objects(study_uid) == before


def test_archive_that_was_down_through_many_probes_has_exactly_one_of_each_when_it_is_back(running: Hospital) -> None:
    study_uid, films = study_of_films("down", 4)
    running.wait_delivered()
    running.archive.kill()
    post(running, films)
    decided = running.wait_decided(study_uid, count=4)
    assert {film["outcome"] for film in decided} <= SCORED, "a target that is away costs no film its outcome"
    running.wait_away()
    running.wait_probed(PROBES)
    assert running.owed() == 8, "four decisions, to two targets each"
    running.archive.start()
    running.wait_delivered()
    assert results(running, study_uid) == one_of_each(4)


def test_results_arrive_once_though_the_archive_is_killed_and_delivery_restarted_among_them(running: Hospital) -> None:
    study_uid, films = study_of_films("killed", 12)
    post(running, films[:6])
    wait_until(lambda: len(running.archive.objects(study_uid)) > 0, what="the first result")
    running.archive.kill()
    post(running, films[6:])
    running.restart_delivery()
    running.archive.start()
    running.wait_decided(study_uid, count=12)
    running.wait_delivered()
    assert results(running, study_uid) == one_of_each(12)


@pytest.mark.parametrize("syntax", ["implicit", "explicit"])
def test_film_that_came_over_http_is_the_same_film_when_its_sender_encodes_it_otherwise(
    running: Hospital, tmp_path: Path, syntax: str
) -> None:
    study_uid, (film,) = study_of_films(f"posted, then {syntax}", 1)
    post(running, [film])
    decided = running.wait_decided(study_uid, count=1)
    again = recoded(path_of(tmp_path, film), syntax, tmp_path)
    sent = storescu(running.dimse_port, again, called=OUR_AET, calling="ARCHIVE", propose=syntax)
    assert (sent.exit_status, sent.statuses) == (0, (0,)), sent.output
    assert running.films(study_uid) == decided


@pytest.mark.parametrize("syntax", ["implicit", "explicit", "rle", "jpeg_lossless", "jpeg_ls", "jpeg_2000"])
def test_film_is_scored_in_every_encoding_of_storescu(running: Hospital, tmp_path: Path, syntax: str) -> None:
    is_encoded = syntax == "jpeg_2000"  # for which dcmtk has no encoder
    study_uid, (film,) = study_of_films(
        f"encoded {syntax}", 1, transfer_syntax=JPEG_2000_LOSSLESS if is_encoded else EXPLICIT
    )
    path = path_of(tmp_path, film)
    path = path if is_encoded else recoded(path, syntax, tmp_path)
    sent = storescu(running.dimse_port, path, path, called=OUR_AET, calling="ARCHIVE", propose=syntax)
    assert (sent.exit_status, sent.statuses) == (0, (0, 0)), sent.output
    (decided,) = running.wait_decided(study_uid, count=1)
    assert decided["outcome"] in SCORED


def test_caller_that_nobody_named_is_rejected_and_leaves_nothing(running: Hospital, tmp_path: Path) -> None:
    study_uid, (film,) = study_of_films("stranger", 1)
    path = path_of(tmp_path, film)
    sent = storescu(running.dimse_port, path, called=OUR_AET, calling="STRANGER")
    assert sent.is_refused, sent.output
    assert running.films(study_uid) == []


def test_results_that_the_archive_sends_back_to_us_are_refused_and_the_films_beside_them_are_not(
    running: Hospital,
) -> None:
    study_uid, films = study_of_films("loop", 2)
    names = upload_all(running.archive, films)
    assert running.archive.stow(WEB, names).is_success
    decided = running.wait_decided(study_uid, count=2)
    running.wait_delivered()
    before = running.archive.objects(study_uid)
    pushed = running.archive.stow(WEB, [running.archive.study(study_uid)])
    assert not pushed.is_success, "the archive is told what was refused"
    assert running.films(study_uid) == decided, "a report or an overlay never becomes a film"
    assert running.archive.objects(study_uid) == before


def test_results_of_a_film_that_is_taken_back_are_rejected_at_the_archive(running: Hospital, tmp_path: Path) -> None:
    study_uid, films = study_of_films("taken back", 2)
    assert running.archive.stow(WEB, upload_all(running.archive, films)).is_success
    first, second = running.wait_decided(study_uid, count=2)
    running.wait_delivered()
    ours = {one.sop_instance_uid for one in running.archive.objects(study_uid) if one.modality in ("SR", "OT")}
    with running.client() as client:
        assert client.delete(f"/v1/instances/{first['id']}").is_success
    running.wait_delivered()
    (note,) = [one for one in running.archive.objects(study_uid) if one.modality == "KO"]
    path = tmp_path / "note.dcm"
    path.write_bytes(running.archive.fetch(note.sop_instance_uid))
    assert dciodvfy(path).errors == ()
    named = {
        str(reference.ReferencedSOPInstanceUID)
        for study in pydicom.dcmread(path).CurrentRequestedProcedureEvidenceSequence
        for series in study.ReferencedSeriesSequence
        for reference in series.ReferencedSOPSequence
    }
    assert len(named) == 2
    assert named < ours, "its own report and overlay, not those of the other film"
    assert [film for film in running.films(study_uid) if film["id"] == second["id"]] == [second]


@pytest.mark.parametrize("way", ["stow", "store"])
def test_rejection_note_that_the_archive_sends_withdraws_its_film(running: Hospital, way: str) -> None:
    study_uid, films = study_of_films(f"rejected by {way}", 2)
    names = upload_all(running.archive, films)
    push = {
        "stow": lambda one: running.archive.stow(WEB, [one]),
        "store": lambda one: running.archive.store(DIMSE, [one]),
    }
    assert all(push[way](name).is_success for name in names)
    decided = {film["sop_instance_uid"]: film for film in running.wait_decided(study_uid, count=2)}
    rejected, kept = decided
    note = running.archive.upload(key_object({study_uid: [rejected]}, title=REJECTED_FOR_QUALITY, PatientID="PHANTOM"))
    pushed = push[way](note)
    assert pushed.is_success, pushed.answer
    assert running.films(study_uid) == [decided[kept]], "it has left the study"
    with running.client() as client:
        record = client.get(decided[rejected]["links"]["self"]).json()
    assert (record["outcome"], record["reason"]) == ("not_assessed", "withdrawn")


def path_of(directory: Path, film: bytes) -> Path:
    path = directory / f"{hashlib.sha256(film).hexdigest()[:16]}.dcm"
    path.write_bytes(film)
    return path


def post(running: Hospital, films: list[bytes]) -> None:
    """Send films over plain HTTP: the archive may be down."""
    with running.client() as client:
        for film in films:
            answer = client.post("/v1/instances", content=film, headers={"Content-Type": "application/dicom"})
            assert answer.is_success, answer.text
