"""Debian's Orthanc as a hospital's archive: sends by STOW-RS and by C-STORE, and takes results by either.

Configured, started, killed and asked over its own REST interface (https://orthanc.uclouvain.be/book/). What it stores
is in a directory of the test; over HTTP it answers this machine only.
"""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx

from tests.support.gateway import CLIENT_SECONDS, START_SECONDS, STOP_SECONDS, wait_until
from tests.support.orthanc_configuration import (
    Modality,
    Places,
    WebServer,
    configuration,
    dicomweb_plugin,
    environment_without_proxies,
)
from tests.support.ports import free_ports, is_listening
from tests.support.processes import wait_or_kill
from tests.support.tools import tool

__all__ = ["Modality", "Orthanc", "Push", "StoredObject", "WebServer"]

_LOG_TAIL: Final = 3000


@dataclass(frozen=True, kw_only=True)
class Push:
    """What Orthanc said of its sending. Of a failure it says no more than that; its job (``Orthanc.jobs``) has why."""

    status: int
    answer: dict[str, Any]

    @property
    def is_success(self) -> bool:
        return self.status == 200


@dataclass(frozen=True, kw_only=True)
class StoredObject:
    """One object in Orthanc. ``orthanc_id`` is its name there, everything else is from the object."""

    orthanc_id: str
    sop_class_uid: str
    sop_instance_uid: str
    series_uid: str
    modality: str


class Orthanc:
    """One archive. Its ports are known, and kept, from its construction on: it may be a target before it runs.

    Anonymous, or with ``users`` (name to password) closed to everybody else over HTTP.
    """

    def __init__(self, directory: Path, *, aet: str = "ORTHANC", users: Mapping[str, str] | None = None) -> None:
        self._binary = tool("Orthanc")
        dicomweb_plugin()  # here, so that a test without it is skipped before it starts anything else
        self._directory = directory / aet.lower()
        self._directory.mkdir(parents=True)
        self._log = self._directory / "orthanc.log"
        self._users = dict(users or {})
        self._process: subprocess.Popen[bytes] | None = None
        self.aet = aet
        self.http_port, self.dicom_port = free_ports(2)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.http_port}"

    @property
    def dicom_web_url(self) -> str:
        """What a STOW-RS client is given; ``/studies`` comes after it."""
        return f"{self.url}/dicom-web"

    @property
    def login(self) -> str:
        """``name:password`` of a user; empty where everybody may come."""
        return ":".join(next(iter(self._users.items()), ()))

    @property
    def log_text(self) -> str:
        return self._log.read_text(errors="replace")

    @contextmanager
    def running(
        self,
        *,
        modalities: Mapping[str, Modality] | None = None,
        servers: Mapping[str, WebServer] | None = None,
        **settings: object,
    ) -> Iterator[None]:
        """Run it for the block, however that ends; ``settings`` are Orthanc's own, before the usual ones."""
        places = Places(
            directory=self._directory,
            aet=self.aet,
            http_port=self.http_port,
            dicom_port=self.dicom_port,
            users=self._users,
        )
        told = configuration(places, modalities or {}, servers or {}) | settings
        (self._directory / "configuration.json").write_text(json.dumps(told, indent=1))
        try:
            self.start()
            yield
        finally:
            self.stop()

    def start(self) -> None:
        """Start it as it was configured, and return when HTTP, DICOM and DICOMweb answer."""
        command = [str(self._binary), "--verbose", str(self._directory / "configuration.json")]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, env=environment_without_proxies())
        try:
            wait_until(self._is_ready, seconds=START_SECONDS, what="Orthanc")
        except AssertionError as error:
            self.kill()
            raise AssertionError(f"{error}\n{self.log_text[-_LOG_TAIL:]}") from error

    def kill(self) -> None:
        """End it as a crash would; harmless if it does not run."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """End it in good order; harmless if it does not run."""
        self._end(signal.SIGTERM)

    def upload(self, film: bytes) -> str:
        """Store a film; return Orthanc's name for it. Again is the same name."""
        with self._client() as client:
            answer = client.post("/instances", content=film)
        assert answer.is_success, answer.text
        return str(answer.json()["ID"])

    def stow(self, server: str, resources: Sequence[str]) -> Push:
        """Send instances, series or studies (Orthanc's names) by STOW-RS, and wait for the end.

        Orthanc 1.10.1 puts ten instances or 10 MB into one request, then begins another.
        """
        return self._push(f"/dicom-web/servers/{server}/stow", resources)

    def store(self, modality: str, resources: Sequence[str]) -> Push:
        """Send instances, series or studies (Orthanc's names) by C-STORE in one association, and wait for the end."""
        return self._push(f"/modalities/{modality}/store", resources)

    def jobs(self, *states: str) -> dict[str, str]:
        """Return the sends in one of these states (`Failure`, `Running`, ...), and what went wrong with each."""
        with self._client() as client:
            jobs = client.get("/jobs", params={"expand": ""}).raise_for_status().json()
        return {job["ID"]: job["ErrorDetails"] for job in jobs if job["State"] in states}

    def wait_sent(self) -> None:
        """Return when no send in the background is under way, or waits for its turn."""
        wait_until(lambda: not self.jobs("Pending", "Running", "Retry"), what="the sends of Orthanc")

    def resubmit(self, job: str) -> None:
        """Have a failed send tried again."""
        with self._client() as client:
            client.post(f"/jobs/{job}/resubmit").raise_for_status()

    def echo(self, modality: str) -> bool:
        """Return whether a modality answers C-ECHO."""
        with self._client() as client:
            return client.post(f"/modalities/{modality}/echo", json={}).is_success

    def study(self, study_uid: str) -> str:
        """Return Orthanc's name of a study."""
        with self._client() as client:
            found = client.post("/tools/lookup", content=study_uid).raise_for_status().json()
        (name,) = [entry["ID"] for entry in found if entry["Type"] == "Study"]
        return str(name)

    def objects(self, study_uid: str) -> list[StoredObject]:
        """Return every object of a study, by SOP Instance UID; none where it knows no such study."""
        query = {"Level": "Instance", "Query": {"StudyInstanceUID": study_uid}}
        with self._client() as client:
            names = client.post("/tools/find", json=query).raise_for_status().json()
            found = [
                _stored(name, client.get(f"/instances/{name}/simplified-tags").raise_for_status().json())
                for name in names
            ]
        return sorted(found, key=lambda stored: stored.sop_instance_uid)

    def seen_by_viewers(self, study_uid: str) -> set[str]:
        """Return the SOP Instance UIDs of a study as QIDO-RS lists them, which is how viewers ask."""
        with self._client() as client:
            answer = client.get(f"/dicom-web/studies/{study_uid}/instances").raise_for_status()
        return {entry["00080018"]["Value"][0] for entry in answer.json()} if answer.content else set()

    def fetch(self, sop_instance_uid: str) -> bytes:
        """Return an object as it is stored, as a DICOM file."""
        with self._client() as client:
            found = client.post("/tools/lookup", content=sop_instance_uid).raise_for_status().json()
            (name,) = [entry["ID"] for entry in found if entry["Type"] == "Instance"]
            return client.get(f"/instances/{name}/file").raise_for_status().content

    def count(self) -> int:
        """Return how many objects it holds."""
        with self._client() as client:
            return int(client.get("/statistics").raise_for_status().json()["CountInstances"])

    def _push(self, path: str, resources: Sequence[str]) -> Push:
        with self._client() as client:
            answer = client.post(path, json={"Resources": list(resources), "Synchronous": True})
        told = answer.json() if "json" in answer.headers.get("content-type", "") else {}
        return Push(status=answer.status_code, answer=told)

    def _client(self) -> httpx.Client:
        auth = next(iter(self._users.items()), None)
        # No certificates: it speaks plain HTTP, and to read them takes longer than it takes to answer.
        return httpx.Client(base_url=self.url, auth=auth, trust_env=False, verify=False, timeout=CLIENT_SECONDS)

    def _is_ready(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, "Orthanc ended"
        try:
            with self._client() as client:
                system = client.get("/system")
                web = client.get("/dicom-web/servers")
        except httpx.TransportError:
            return False
        # By its name: another Orthanc may have taken the port since it was found free.
        is_ours = system.is_success and system.json()["Name"] == str(self._directory)
        return is_ours and web.is_success and is_listening(self.dicom_port)

    def _end(self, how: signal.Signals) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(how)
            wait_or_kill(self._process, seconds=STOP_SECONDS)


def _stored(name: str, tags: Mapping[str, str]) -> StoredObject:
    return StoredObject(
        orthanc_id=name,
        sop_class_uid=tags["SOPClassUID"],
        sop_instance_uid=tags["SOPInstanceUID"],
        series_uid=tags["SeriesInstanceUID"],
        modality=tags["Modality"],
    )
