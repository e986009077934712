"""The real programs that other tests rely on say what those tests think they say."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.dicom.files import report_file
from tests.support.dcmtk import StoreScp, dsrdump, echoscu, elements, recoded, storescu, value_of
from tests.support.dicom3tools import dciodvfy
from tests.support.films import EXPLICIT, JPEG_LOSSLESS_SV1, JPEG_LS, RLE, dicom_film
from tests.support.orthanc import Modality, Orthanc, WebServer
from tests.support.ports import free_ports, is_listening
from tests.support.results import FILM_ID, done_record, source_of


@pytest.fixture
def film(tmp_path: Path) -> Path:
    path = tmp_path / "film.dcm"
    path.write_bytes(dicom_film(seed=1, SpecificCharacterSet="ISO_IR 100", PatientName="Müller^Zoë"))
    return path


def test_what_storescu_sends_arrives_as_it_was(film: Path, tmp_path: Path) -> None:
    target = StoreScp(tmp_path)
    with target.running():
        assert echoscu(target.port, called=target.aet).exit_status == 0
        sent = storescu(target.port, film, film, called=target.aet)
    assert (sent.exit_status, sent.statuses) == (0, (0, 0))
    (received,) = target.files()
    assert value_of(received, "SOPInstanceUID") == value_of(film, "SOPInstanceUID")


def test_storescu_proposes_the_class_of_each_file(film: Path, tmp_path: Path) -> None:
    report = tmp_path / "report.dcm"
    report.write_bytes(report_file(done_record(), source_of(), ()))
    target = StoreScp(tmp_path)
    with target.running():
        assert storescu(target.port, film, report, called=target.aet).statuses == (0, 0)
    assert len(target.files()) == 2


def test_dsrdump_reads_a_report_whole(tmp_path: Path) -> None:
    path = tmp_path / "report.dcm"
    path.write_bytes(
        report_file(done_record(), source_of(PatientName="山田^太郎", SpecificCharacterSet="ISO_IR 192"), ())
    )
    text = dsrdump(path)
    assert "山田^太郎" in text
    assert f"triage {FILM_ID}" in text, "nothing is shortened"
    assert str(source_of().sop_instance_uid) in text


def test_nobody_listens_after_the_block_and_storescu_says_so(film: Path, tmp_path: Path) -> None:
    target = StoreScp(tmp_path)
    with target.running():
        assert is_listening(target.port)
    assert not is_listening(target.port)
    assert echoscu(target.port, called=target.aet).exit_status == 1
    sent = storescu(target.port, film, called=target.aet)
    assert (sent.exit_status, sent.statuses, sent.is_refused) == (1, (), False)


@pytest.mark.parametrize(
    ("syntax", "uid"),
    [("rle", RLE), ("jpeg_lossless", JPEG_LOSSLESS_SV1), ("jpeg_ls", JPEG_LS), ("explicit", EXPLICIT)],
)
def test_film_that_dcmtk_encodes_again_keeps_its_uid(film: Path, tmp_path: Path, syntax: str, uid: str) -> None:
    again = recoded(film, syntax, tmp_path)
    assert value_of(again, "TransferSyntaxUID") == uid
    assert value_of(again, "SOPInstanceUID") == value_of(film, "SOPInstanceUID")
    target = StoreScp(tmp_path)
    with target.running():
        assert storescu(target.port, again, called=target.aet, propose=syntax).statuses == (0,)
    assert value_of(target.files()[0], "TransferSyntaxUID") == uid


def test_dcmdump_reads_names_in_their_character_set(film: Path) -> None:
    assert value_of(film, "PatientName") == "Müller^Zoë"
    assert {"PatientName", "SOPClassUID", "PixelData"} <= {element.keyword for element in elements(film)}


def test_dsrdump_refuses_what_is_no_report(film: Path) -> None:
    with pytest.raises(AssertionError):
        dsrdump(film)


def test_free_ports_differ_and_are_free() -> None:
    ports = free_ports(4)
    assert len(set(ports)) == 4
    assert not any(is_listening(port) for port in ports)


def test_dciodvfy_misses_what_a_film_has_not(film: Path) -> None:
    verdict = dciodvfy(film)
    assert any("ReferringPhysicianName" in error for error in verdict.errors), verdict.output


def test_orthanc_keeps_films_over_a_kill_and_leaves_no_listener(film: Path, tmp_path: Path) -> None:
    archive = Orthanc(tmp_path, users={"reader": "secret"})
    uid = value_of(film, "SOPInstanceUID")
    study_uid = value_of(film, "StudyInstanceUID")
    with archive.running():
        name = archive.upload(film.read_bytes())
        assert archive.upload(film.read_bytes()) == name
        assert echoscu(archive.dicom_port, called=archive.aet).exit_status == 0
        assert storescu(archive.dicom_port, film, called=archive.aet).statuses == (0,)
        archive.kill()
        assert not is_listening(archive.dicom_port)
        archive.start()
        assert [(one.sop_instance_uid, one.modality) for one in archive.objects(study_uid)] == [(uid, "CR")]
        assert archive.seen_by_viewers(study_uid) == {uid}
        assert archive.fetch(uid) == film.read_bytes()
        assert archive.count() == 1
        assert archive.objects("1.2.3") == []
    assert not is_listening(archive.dicom_port)
    assert not is_listening(archive.http_port)


def test_orthanc_says_that_a_peer_is_not_there(film: Path, tmp_path: Path) -> None:
    archive = Orthanc(tmp_path)
    (nobody,) = free_ports(1)
    modalities = {"nobody": Modality(aet="NOBODY", port=nobody)}
    servers = {"nobody": WebServer(url=f"http://127.0.0.1:{nobody}/dicom-web", user="a", password="b")}
    with archive.running(modalities=modalities, servers=servers):
        name = archive.upload(film.read_bytes())
        assert not archive.echo("nobody")
        assert not archive.store("nobody", [name]).is_success
        assert not archive.stow("nobody", [name]).is_success


def test_orthanc_sends_to_a_target_by_c_store(film: Path, tmp_path: Path) -> None:
    archive, target = Orthanc(tmp_path), StoreScp(tmp_path)
    modalities = {"target": Modality(aet=target.aet, port=target.port)}
    with target.running(), archive.running(modalities=modalities):
        pushed = archive.store("target", [archive.upload(film.read_bytes())])
        assert pushed.is_success, pushed.answer
    (received,) = target.files()
    assert value_of(received, "SOPInstanceUID") == value_of(film, "SOPInstanceUID")
