"""The DIMSE listener and dcmtk's senders, which share no code with it: what they make of our answers."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from services.dicom.codes import Status
from tests.support.dcmtk import echoscu, recoded, storescu
from tests.support.dimse import OURS, DimseProcess
from tests.support.films import CT_STORAGE, JPEG_2000_LOSSLESS, dicom_film
from tests.support.redis_server import RedisServer

A_MEBIBYTE = 1024**2


@pytest.fixture(scope="module")
def listener(shared_redis_server: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DimseProcess]:
    process = DimseProcess(
        tmp_path_factory.mktemp("dimse"),
        redis_url=shared_redis_server.url,
        dimse_callers='{"STORESCU": "north", "ECHOSCU": "north"}',
        api_max_payload_bytes=A_MEBIBYTE,
    )
    process.wait_ready()
    yield process
    assert process.stop() == 0, process.output[-3000:]


@pytest.fixture(autouse=True)
def _empty(listener: DimseProcess, redis_server: RedisServer) -> None:
    listener.empty_spool()


def file_of(directory: Path, film: bytes) -> Path:
    path = directory / "film.dcm"
    path.write_bytes(film)
    return path


def test_echoscu_is_answered(listener: DimseProcess) -> None:
    assert echoscu(listener.port, called=OURS).exit_status == 0


def test_echoscu_of_a_stranger_is_rejected(listener: DimseProcess) -> None:
    assert echoscu(listener.port, called=OURS, calling="STRANGER").is_refused
    assert echoscu(listener.port, called="SOMEBODY_ELSE").is_refused


@pytest.mark.parametrize("syntax", ["implicit", "explicit", "rle", "jpeg_lossless", "jpeg_baseline", "jpeg_ls"])
def test_storescu_sends_each_encoding_of_dcmtk(listener: DimseProcess, tmp_path: Path, syntax: str) -> None:
    film = dicom_film(rows=256, columns=256)
    path = recoded(file_of(tmp_path, film), syntax, tmp_path)
    sent = storescu(listener.port, path, path, called=OURS, propose=syntax)
    assert (sent.exit_status, sent.statuses) == (0, (Status.SUCCESS, Status.SUCCESS)), sent.output[-2000:]
    assert len(listener.files()) == 2


def test_storescu_sends_jpeg_2000(listener: DimseProcess, tmp_path: Path) -> None:
    path = file_of(tmp_path, dicom_film(transfer_syntax=JPEG_2000_LOSSLESS))
    assert storescu(listener.port, path, called=OURS, propose="jpeg_2000").statuses == (Status.SUCCESS,)


def test_storescu_is_told_before_it_sends_that_no_ct_is_taken(listener: DimseProcess, tmp_path: Path) -> None:
    sent = storescu(listener.port, file_of(tmp_path, dicom_film(SOPClassUID=CT_STORAGE)), called=OURS, halts=True)
    assert sent.has_no_context
    assert sent.exit_status != 0
    assert listener.files() == []


def test_storescu_exits_with_the_status_of_a_film_that_is_too_large(listener: DimseProcess, tmp_path: Path) -> None:
    sent = storescu(listener.port, file_of(tmp_path, dicom_film(rows=1024, columns=1024)), called=OURS, halts=True)
    assert sent.statuses == (Status.CANNOT_UNDERSTAND,)
    assert sent.exit_status == Status.CANNOT_UNDERSTAND >> 8
    assert listener.files() == []
