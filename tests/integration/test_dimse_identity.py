"""The same instance by HTTP and by C-STORE is one film, as real senders have it and as they encode it anew."""

import io
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from pydicom import dcmread

from model.decoding.header import Header
from model.decoding.inspect import inspect_header
from model.decoding.transfer_syntaxes import EXPLICIT_VR, IMPLICIT_VR, JUDGED_TRANSFER_SYNTAXES
from model.errors import ModelError
from services.dicom.codes import FILM_CLASSES, Status
from tests.support.dcmtk import recoded, storescu
from tests.support.dimse import OURS, DimseProcess, send, send_as_it_is
from tests.support.films import dicom_film
from tests.support.gateway import GatewayProcess
from tests.support.redis_server import RedisServer
from tests.support.shared_data import shared_data

OTHER_ENCODING = {EXPLICIT_VR: IMPLICIT_VR, IMPLICIT_VR: EXPLICIT_VR}


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("doors")


@pytest.fixture(scope="module")
def listener(shared_redis_server: RedisServer, directory: Path) -> Iterator[DimseProcess]:
    with DimseProcess(directory, redis_url=shared_redis_server.url) as process:
        process.wait_ready()
        yield process
        assert process.stop() == 0, process.output[-3000:]


@pytest.fixture(scope="module")
def gateway(shared_redis_server: RedisServer, directory: Path) -> Iterator[GatewayProcess]:
    with GatewayProcess(directory, redis_url=shared_redis_server.url) as process:
        process.wait_ready()
        yield process


@pytest.fixture(autouse=True)
def _empty(listener: DimseProcess, redis_server: RedisServer) -> None:
    listener.empty_spool()


def by_http(client: httpx.Client, film: bytes) -> str:
    answer = client.post("/v1/instances", content=film, headers={"Content-Type": "application/dicom"})
    assert answer.is_success, answer.text
    return str(answer.json()["id"])


def film_ids(listener: DimseProcess) -> set[str]:
    return {path.name.partition(".")[0] for path in listener.files()}


def header_of(content: bytes) -> Header | None:
    """Return the header of a film that may be sent by C-STORE as it is; ``None`` of any other file."""
    try:
        header = inspect_header(content)
    except ModelError:
        return None
    is_film = header.sop_class_uid in FILM_CLASSES and header.sop_instance_uid is not None
    return header if is_film and header.transfer_syntax_uid in JUDGED_TRANSFER_SYNTAXES else None


@pytest.mark.filterwarnings("ignore:Invalid value for VR UI")  # of instances in the wild
def test_every_real_film_is_one_film_by_either_door(client: httpx.Client, listener: DimseProcess) -> None:
    contents = [path.read_bytes() for path in sorted(shared_data("dicom").rglob("*.dcm"))]
    films = [content for content in contents if header_of(content) is not None]
    assert len(films) > 20
    taken = 0
    for film in films:
        film_id, before = by_http(client, film), film_ids(listener)
        assert film_id in before
        status = send_as_it_is(listener.port, film)
        assert film_ids(listener) == before, "nothing that was here is a film once more"
        taken += status == Status.SUCCESS
    assert taken > 20, taken


@pytest.mark.parametrize("syntax", [EXPLICIT_VR, IMPLICIT_VR])
@pytest.mark.parametrize("first", ["http", "c-store"])
def test_a_film_whose_sender_encodes_it_anew_is_the_film_that_is_known(
    client: httpx.Client, listener: DimseProcess, first: str, syntax: str
) -> None:
    film, again = dicom_film(transfer_syntax=syntax), dicom_film(transfer_syntax=OTHER_ENCODING[syntax])
    assert dcmread(io.BytesIO(film)) == dcmread(io.BytesIO(again))
    if first == "http":
        by_http(client, film)
        assert send(listener.port, again)[0].Status == Status.SUCCESS
    else:
        assert send(listener.port, film)[0].Status == Status.SUCCESS
        by_http(client, again)
    (film_id,) = film_ids(listener)
    assert by_http(client, film) == by_http(client, again) == film_id


@pytest.mark.parametrize(("kept", "proposed"), [("explicit", "implicit"), ("implicit", "explicit")])
def test_a_film_that_storescu_encodes_anew_for_us_is_the_film_that_is_known(
    client: httpx.Client, listener: DimseProcess, tmp_path: Path, kept: str, proposed: str
) -> None:
    (tmp_path / "film.dcm").write_bytes(dicom_film())
    path = recoded(tmp_path / "film.dcm", kept, tmp_path)
    film_id = by_http(client, path.read_bytes())
    assert storescu(listener.port, path, called=OURS, propose=proposed).statuses == (Status.SUCCESS,)
    assert film_ids(listener) == {film_id}
