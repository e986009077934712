"""The DIMSE listener as a process, and senders for it: pynetdicom as a well-behaved one, bare fragments as others."""

from __future__ import annotations

import io
import shutil
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import UID
from pynetdicom import AE, build_context
from pynetdicom.association import Association
from pynetdicom.dimse_messages import C_STORE_RQ
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.dsutils import encode
from pynetdicom.pdu_primitives import P_DATA

from model.decoding.inspect import inspect_header
from model.decoding.transfer_syntaxes import JUDGED_TRANSFER_SYNTAXES
from model.errors import ModelError
from services.dicom.codes import FILM_CLASSES
from tests.support.films import CR_STORAGE, EXPLICIT
from tests.support.gateway import ListeningProcess, environment, wait_until
from tests.support.redis_server import RedisServer

OURS = "CXR_TRIAGE"
VERIFICATION = "1.2.840.10008.1.1"
FRAGMENT_BYTES = 16_000
SECONDS = 60.0


class DimseProcess(ListeningProcess):
    """``python -m services.dimse`` on free ports of loopback, with its spool and audit trail in ``directory``."""

    def __init__(self, directory: Path, *, redis_url: str, **settings: object) -> None:
        self.spool_directory = directory / "spool"
        places = {
            "redis_url": redis_url,
            "spool_directory": self.spool_directory,
            "audit_directory": directory / "audit",
            "dimse_port": 0,
            "dimse_metrics_port": 0,
        }
        told = environment(**(places | settings))
        super().__init__("services.dimse", directory / "dimse.log", told, started="dimse_started")

    @property
    def port(self) -> int:
        """Where it accepts associations; what it stores films with may be away."""
        return self.ports()["port"]

    def wait_idle(self) -> None:
        """Return when the associations that others have ended are over here, too: until then they take up places."""
        wait_until(lambda: "\ncxr_dimse_open_associations 0.0\n" in self.get("/metrics")[1], what="no association")

    def files(self) -> list[Path]:
        """Return every file with something in it in its spool, drafts too; its probes of the disk have nothing."""
        return sorted(path for path in self.spool_directory.rglob("*") if _is_filled(path))

    def drafts(self) -> list[Path]:
        """Return what of films that are arriving lies on the disk."""
        return [path for path in self.files() if path.parent.name == "tmp"]

    def empty_spool(self) -> None:
        """Forget every film, where Redis has been emptied."""
        for folder in self.spool_directory.glob("[0-9a-f][0-9a-f]"):
            shutil.rmtree(folder)


@contextmanager
def listening(directory: Path, redis_server: RedisServer, **settings: object) -> Iterator[DimseProcess]:
    """Run a listener that comes to no harm of its own."""
    with DimseProcess(directory, redis_url=redis_server.url, **settings) as process:
        process.ports()
        yield process
    assert "uncaught" not in process.output
    assert "film failed" not in process.output


@contextmanager
def associated(
    port: int,
    *contexts: tuple[str, Sequence[str]],
    calling: str = "TEST_MODALITY",
    called: str = OURS,
    tls: Any = None,
) -> Iterator[Association]:
    """Associate for these SOP classes with their transfer syntaxes; whether it is established, the test looks."""
    entity = AE(calling)
    entity.acse_timeout = entity.dimse_timeout = entity.connection_timeout = SECONDS
    entity.network_timeout = None  # who ends an association that stands still, is the listener
    association = entity.associate(
        "127.0.0.1",
        port,
        contexts=[build_context(uid, list(syntaxes)) for uid, syntaxes in contexts],
        ae_title=called,
        tls_args=tls,
    )
    # pynetdicom drops the socket without closing it where the other side was first.
    connection = association.dul.socket and association.dul.socket.socket
    try:
        yield association
    finally:
        if association.is_established:
            association.release()
        association.dul.join(SECONDS)
        if connection is not None:
            connection.close()


def send(port: int, *films: bytes, calling: str = "TEST_MODALITY", priority: int = 0) -> list[Dataset]:
    """Send DICOM files in one association, as they are encoded; return their answers."""
    with associated_for(port, films, calling=calling) as (association, datasets):
        return [association.send_c_store(dataset, priority=priority) for dataset in datasets]


def answered(port: int, films: Sequence[bytes]) -> list[int]:
    """Send DICOM files in one association; return the statuses of those that were answered before it ended."""
    statuses: list[int] = []
    with associated_for(port, films) as (association, datasets):
        for dataset in datasets:
            answer = association.send_c_store(dataset)
            if "Status" not in answer:
                break
            statuses.append(int(answer.Status))
    return statuses


@contextmanager
def associated_for(
    port: int, films: Sequence[bytes], *, calling: str = "TEST_MODALITY"
) -> Iterator[tuple[Association, list[Dataset]]]:
    """Associate for these DICOM files; yield the association, which is established, and their data sets."""
    datasets = [dcmread(io.BytesIO(film), force=True) for film in films]
    wanted = {(dataset.SOPClassUID, dataset.file_meta.TransferSyntaxUID) for dataset in datasets}
    contexts = [(uid, [syntax]) for uid, syntax in sorted(wanted)]
    with associated(port, *contexts, calling=calling) as association:
        assert association.is_established
        yield association, datasets


def data_set_of(film: bytes) -> bytes:
    """Return a file's data set as it is encoded, without the file's head."""
    group_length = int.from_bytes(film[140:144], "little")
    return film[144 + group_length :]


def begin_store(
    association: Association, *, instance: str, sop_class: str = CR_STORAGE, message_id: int = 1, priority: int = 0
) -> int:
    """Send the command of a C-STORE by hand; return the id of its presentation context."""
    context_id = int(association.accepted_contexts[0].context_id or 0)
    command = store_command(instance=instance, sop_class=sop_class, message_id=message_id, priority=priority)
    send_fragment(association, context_id, b"\x03" + command)
    return context_id


def store_command(
    *, instance: str, sop_class: str = CR_STORAGE, message_id: int = 1, priority: int = 0, without: str | None = None
) -> bytes:
    """Return the command set of a C-STORE request (PS3.7 9.3.1.1); it may lack the element of one keyword."""
    request = C_STORE()
    request.MessageID = message_id
    request.AffectedSOPClassUID = UID(sop_class)
    request.AffectedSOPInstanceUID = UID(instance)
    request.Priority = priority
    request.DataSet = io.BytesIO(b"\0")
    message = C_STORE_RQ()
    message.primitive_to_message(request)
    if without is not None:
        delattr(message.command_set, without)
    return encode(message.command_set, True, True) or b""


def send_fragment(association: Association, context_id: int, fragment: bytes) -> None:
    """Send one fragment with its control header in a PDU of its own (PS3.8 E.2)."""
    primitive = P_DATA()
    primitive.presentation_data_value_list.append((context_id, fragment))
    association.dul.send_pdu(primitive)


def send_data(association: Association, context_id: int, data: bytes, *, is_whole: bool = True) -> None:
    """Send bytes of a data set by hand; ``is_whole`` where they are its last."""
    pieces = [data[start : start + FRAGMENT_BYTES] for start in range(0, len(data), FRAGMENT_BYTES)]
    for number, piece in enumerate(pieces, 1):
        is_last = is_whole and number == len(pieces)
        send_fragment(association, context_id, (b"\x02" if is_last else b"\x00") + piece)


def begin_large_film(association: Association, process: DimseProcess) -> None:
    """Send so much of a film that a part of it lies on the disk."""
    context_id = begin_store(association, instance="1.2.3.4")
    send_data(association, context_id, b"x" * 3 * 1024**2, is_whole=False)
    wait_until(lambda: bool(process.drafts()), what="a draft")


def answer_to(association: Association, context_id: int, data: bytes) -> Dataset | None:
    """Send the last bytes of a data set by hand; return the answer, ``None`` where the association ended instead."""
    association._reactor_checkpoint.clear()  # its own loop would take the answer for a request
    wait_until(lambda: association._is_paused, what="an association that listens to us alone")
    try:
        send_data(association, context_id, data)
        _, response = association.dimse.get_msg(block=True)
    finally:
        association._reactor_checkpoint.set()
    if response is None:
        return None
    answer = Dataset()
    answer.Status = response.Status
    if response.ErrorComment is not None:
        answer.ErrorComment = response.ErrorComment
    return answer


def send_as_it_is(port: int, content: bytes) -> int | None:
    """Send a file's data set, whatever it is, as a CR film where it says no class that is taken; return the status."""
    sop_class, instance, transfer_syntax = CR_STORAGE, "1.2.3.4", EXPLICIT
    with suppress(ModelError):
        header = inspect_header(content)
        sop_class = header.sop_class_uid if header.sop_class_uid in FILM_CLASSES else CR_STORAGE
        instance = header.sop_instance_uid or instance
        if header.transfer_syntax_uid in JUDGED_TRANSFER_SYNTAXES:
            transfer_syntax = header.transfer_syntax_uid
    data = data_set_of(content) if content[128:132] == b"DICM" else content
    with associated(port, (sop_class, [transfer_syntax])) as association:
        context_id = begin_store(association, instance=instance, sop_class=sop_class)
        answer = answer_to(association, context_id, data or b"\0")
        return None if answer is None else int(answer.Status)


def cr_contexts(*syntaxes: str) -> tuple[str, Sequence[str]]:
    """Return the context of a CR film."""
    return CR_STORAGE, syntaxes or (EXPLICIT,)


def _is_filled(path: Path) -> bool:
    try:
        facts = path.stat()
    except FileNotFoundError:
        return False
    return stat.S_ISREG(facts.st_mode) and facts.st_size > 0
