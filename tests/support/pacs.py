"""A hospital in one directory: an archive, both doors of the service, a worker, and delivery back to the archive."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx

from services.api.scopes import Role
from services.jobs import keys
from tests.support.access import bearer, make_key
from tests.support.films import dicom_film, uid_of
from tests.support.gateway import GatewayProcess, ListeningProcess, environment, wait_until
from tests.support.orthanc import Modality, Orthanc, WebServer
from tests.support.parts import Parts
from tests.support.ports import free_ports

OUR_AET: Final = "CXR_TRIAGE"
# Names that Orthanc has for the service: by STOW-RS, by C-STORE.
WEB, DIMSE = "triage-web", "triage"
BY_STOW, BY_C_STORE = "archive-web", "archive-dimse"
# So that a test does not wait as long as a hospital may.
_IMPATIENT: Final = {
    "delivery_first_wait_seconds": 0.2,
    "delivery_longest_wait_seconds": 1.0,
    "delivery_probe_seconds": 0.5,
    "delivery_idle_seconds": 0.1,
}
# What an archive that is killed does not answer is tried again after half a minute.
_DELIVERY_SECONDS: Final = 300.0


def dimse_process(parts: Parts, *, callers: dict[str, str], **settings: object) -> ListeningProcess:
    """Start ``cxr-triage dimse`` on a free port; ``ports()["port"]`` says which."""
    chosen = {
        "dimse_ae_title": OUR_AET,
        "dimse_callers": json.dumps(callers),
        "dimse_port": 0,
        "dimse_metrics_port": 0,
    }
    told = environment(**(parts.places | chosen | settings))
    return ListeningProcess("services.cli", parts.directory / "dimse.log", told, "dimse", started="dimse_started")


def delivery_process(parts: Parts, *, targets: Path, **settings: object) -> ListeningProcess:
    """Start ``cxr-triage deliver`` to the targets of a file."""
    chosen = _IMPATIENT | {"delivery_targets_file": targets, "delivery_metrics_port": 0}
    told = environment(**(parts.places | chosen | settings))
    log = parts.directory / "delivery.log"
    return ListeningProcess("services.cli", log, told, "deliver", started="delivery_started")


def owed(parts: Parts, *targets: str) -> int:
    """Return how many decisions targets have not got, dead letters not counted."""
    with parts.server.client() as client:
        return sum(int(client.zcard(keys.delivery("since", target))) for target in targets)


@dataclass(kw_only=True)
class Hospital:
    """What runs. ``dimse`` and ``delivery`` are replaced where a test ends them; the listener keeps its port."""

    parts: Parts
    archive: Orthanc
    gateway: GatewayProcess
    key: str
    callers: dict[str, str]
    dimse: ListeningProcess
    delivery: ListeningProcess

    @property
    def dimse_port(self) -> int:
        return self.dimse.ports()["port"]

    def client(self) -> httpx.Client:
        """Return a client of the gateway that may send and read."""
        return self.gateway.client(headers=bearer(self.key))

    def films(self, study_uid: str) -> list[dict[str, Any]]:
        """Return the records of a study's films."""
        with self.client() as client:
            answer = client.get(f"/v1/studies/{study_uid}")
        return list(answer.json()["instances"]) if answer.is_success else []

    def wait_decided(self, study_uid: str, *, count: int) -> list[dict[str, Any]]:
        """Wait until so many films of a study have an outcome; return their records."""

        def is_decided() -> bool:
            found = self.films(study_uid)
            return len(found) >= count and all(film["state"] == "done" for film in found)

        wait_until(is_decided, every_seconds=0.1, what=f"{count} outcomes")
        return self.films(study_uid)

    def owed(self) -> int:
        """Return how many decisions the archive has not got, each way counted."""
        return owed(self.parts, BY_STOW, BY_C_STORE)

    def wait_delivered(self) -> None:
        """Wait until every target has what it is owed. Outcomes have to be there before."""
        wait_until(
            lambda: self.owed() == 0, seconds=_DELIVERY_SECONDS, every_seconds=0.1, what="delivery of every result"
        )

    def wait_away(self) -> None:
        """Wait until delivery has found out that the archive is away, by either door; films have to be owed to both."""

        def is_away(target: str) -> bool:
            return self.delivery.counted("cxr_delivery_circuit_open", target=target) == 1

        wait_until(lambda: all(map(is_away, (BY_STOW, BY_C_STORE))), what="open circuits")

    def wait_probed(self, count: int) -> None:
        """Wait until each door of the archive was tried so many times more."""

        def tried(target: str) -> float:
            return self.delivery.counted("cxr_deliveries_total", target=target)

        enough = {target: tried(target) + count for target in (BY_STOW, BY_C_STORE)}
        wait_until(
            lambda: all(tried(target) >= enough[target] for target in enough), every_seconds=0.1, what=f"{count} probes"
        )

    def stop(self) -> None:
        """End listener and delivery, those that run now."""
        with self.dimse, self.delivery:
            pass

    def start_dimse(self, *, port: int) -> None:
        """Start a listener in the place of one that has ended."""
        assert not self.dimse.is_running
        self.dimse = dimse_process(self.parts, callers=self.callers, dimse_port=port)
        self.dimse.wait_ready()

    def restart_delivery(self) -> None:
        """End the delivery in good order, and start it again."""
        assert self.delivery.stop() == 0, self.delivery.output[-3000:]
        self.delivery = delivery_process(self.parts, targets=_targets_file(self.parts))


@contextmanager
def hospital(
    parts: Parts, *, callers: Mapping[str, str] | None = None, configured: Mapping[str, object] | None = None
) -> Iterator[Hospital]:
    """Run everything for the block. The archive has two doors for results too, and either would be enough.

    ``callers`` may send by DIMSE besides the archive; ``configured`` is what Orthanc is told besides.
    """
    password = parts.directory / "archive.password"
    password.write_text("of-the-archive")
    archive = Orthanc(parts.directory, aet="ARCHIVE", users={"triage": password.read_text()})
    _write_targets(parts, archive, password)
    key = make_key(parts.directory / "keys.json", Role.SUBMIT, Role.READ)
    with ExitStack() as stack:
        gateway = stack.enter_context(parts.gateway(api_keys_file=parts.directory / "keys.json"))
        stack.enter_context(parts.worker())
        admitted = {archive.aet: "default"} | dict(callers or {})
        (port,) = free_ports(1)
        dimse = dimse_process(parts, callers=admitted, dimse_port=port)
        delivery = delivery_process(parts, targets=_targets_file(parts))
        running = Hospital(
            parts=parts,
            archive=archive,
            gateway=gateway,
            key=key,
            callers=admitted,
            dimse=dimse,
            delivery=delivery,
        )
        stack.callback(running.stop)
        modalities = {DIMSE: Modality(aet=OUR_AET, port=port)}
        servers = {WEB: WebServer(url=f"{gateway.url}/dicom-web", user="orthanc", password=key)}
        stack.enter_context(archive.running(modalities=modalities, servers=servers, **(configured or {})))
        dimse.wait_ready()
        delivery.wait_ready()
        yield running


def _targets_file(parts: Parts) -> Path:
    return parts.directory / "targets.toml"


def _write_targets(parts: Parts, archive: Orthanc, password: Path) -> None:
    """Write targets as docs/integration.md shows them."""
    _targets_file(parts).write_text(
        f"""
        [[target]]
        kind = "stow"
        name = "{BY_STOW}"
        address = "{archive.dicom_web_url}"
        user = "triage"
        password = {{file = "{password}"}}

        [[target]]
        kind = "cstore"
        name = "{BY_C_STORE}"
        address = "127.0.0.1:{archive.dicom_port}"
        called_ae_title = "{archive.aet}"
        calling_ae_title = "{OUR_AET}"
        """
    )


def study_of_films(name: str, count: int, **attributes: Any) -> tuple[str, list[bytes]]:
    """Return a study's UID and its films, each with pixels and a UID of its own; ``name`` tells studies apart."""
    study_uid = uid_of("study", name)
    common = {
        "StudyInstanceUID": study_uid,
        "SeriesInstanceUID": uid_of("series", name),
        "StudyID": "1",
        "StudyTime": "101500",
        "AccessionNumber": f"A{uid_of(name)[-8:]}",
        "PatientBirthDate": "19800101",
        "PatientName": f"Phantom^{name.title()}",
    }
    films = [
        dicom_film(
            seed=number,
            SOPInstanceUID=uid_of("instance", name, number),
            InstanceNumber=number + 1,
            **(common | attributes),
        )
        for number in range(count)
    ]
    return study_uid, films


def upload_all(archive: Orthanc, films: Sequence[bytes]) -> list[str]:
    """Store films in the archive; return its names for them."""
    return [archive.upload(film) for film in films]
