"""What a real archive makes of a service that is full, as docs/integration.md has it."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tests.integration.test_refusals_leave_nothing import payloads
from tests.support.dimse import OURS, listening
from tests.support.films import dicom_film
from tests.support.gateway import GatewayProcess
from tests.support.orthanc import Modality, Orthanc, WebServer
from tests.support.redis_server import RedisServer

ONE_FILM: dict[str, Any] = {"api_routine_depth": 1, "api_stat_reserve": 0}


def test_archive_is_told_that_the_service_is_full_and_its_film_is_taken_when_it_comes_again(
    redis_server: RedisServer, tmp_path: Path
) -> None:
    archive = Orthanc(tmp_path)
    with ExitStack() as stack:
        gateway = stack.enter_context(GatewayProcess(tmp_path, redis_url=redis_server.url, **ONE_FILM))
        callers = {"dimse_callers": '{"ORTHANC": "default"}'}
        listener = stack.enter_context(listening(tmp_path, redis_server, **ONE_FILM, **callers))
        gateway.wait_ready()
        listener.wait_ready()
        modalities = {"triage": Modality(aet=OURS, port=listener.port)}
        servers = {"triage": WebServer(url=f"{gateway.url}/dicom-web")}
        stack.enter_context(archive.running(modalities=modalities, servers=servers))
        first, second = (archive.upload(dicom_film(seed=seed, rows=96, columns=96)) for seed in (1, 2))
        assert archive.stow("triage", [first]).is_success
        assert not archive.store("triage", [second]).is_success
        assert ["0xA700" in why for why in archive.jobs("Failure").values()] == [True]
        assert not archive.stow("triage", [second]).is_success
        assert len(payloads(gateway)) == 1, "nothing of the other film"
        make_room(gateway)
        for _ in range(2):  # the service is full again after the first time; what it knows, and is small, needs no room
            assert archive.store("triage", [second]).is_success
        assert len(payloads(gateway)) == 2


def make_room(gateway: GatewayProcess) -> None:
    """Take the only film back, so that nothing waits any more."""
    with gateway.client() as client:
        (study,) = client.get("/v1/studies").json()["studies"]
        (film,) = client.get(f"/v1/studies/{study['study_uid']}").json()["instances"]
        assert client.delete(film["links"]["self"]).is_success
