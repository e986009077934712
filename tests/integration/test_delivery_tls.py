"""Targets over TLS: who they are is always verified, and who we are is shown where they ask."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("pynetdicom", reason="the extra [dicom] is not installed")

from pydicom import Dataset, dcmwrite
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage
from pynetdicom import AE, evt

from services.delivery.cstore import CStoreSender
from services.delivery.stow import StowSender
from services.delivery.targets import CStoreTarget, StowTarget
from services.delivery.verdicts import Delivered, Failed, Verdict
from tests.support.certificates import Certificate, self_signed
from tests.support.films import uid_of

_SECONDS = 60.0


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return self_signed(tmp_path_factory.mktemp("tls"), "theirs")


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return self_signed(tmp_path_factory.mktemp("tls"), "ours")


class _Stored(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None: ...


class _QuietServer(ThreadingHTTPServer):
    def handle_error(self, *_: object) -> None:
        """Say nothing: refused handshakes are what is tested."""


@contextmanager
def web_server(certificate: Certificate, *, clients: Certificate | None = None) -> Iterator[int]:
    with _QuietServer(("127.0.0.1", 0), _Stored) as server:
        context = certificate.server_context(clients=clients)
        # Without the handshake: it is done by the thread of the connection, not by the one that accepts.
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield int(server.server_address[1])
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def node(certificate: Certificate, *, clients: Certificate | None = None) -> Iterator[int]:
    entity = AE(ae_title="ARCHIVE")
    entity.add_supported_context(SecondaryCaptureImageStorage)
    server: Any = entity.start_server(
        ("127.0.0.1", 0),
        block=False,
        evt_handlers=[(evt.EVT_C_STORE, lambda _: 0)],
        ssl_context=certificate.server_context(clients=clients),
    )
    try:
        yield int(server.server_address[1])
    finally:
        server.shutdown()


def capture() -> bytes:
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = SecondaryCaptureImageStorage, uid_of("tls")
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    buffer = BytesIO()
    dcmwrite(buffer, dataset, enforce_file_format=True)
    return buffer.getvalue()


async def by_stow(port: int, **tls: Path) -> Verdict:
    target = {"name": "web", "kind": "stow", "address": f"https://127.0.0.1:{port}", "tls": tls}
    sender = StowSender(StowTarget.model_validate(target), seconds=_SECONDS, connections=1)
    try:
        return await sender.send([capture()])
    finally:
        await sender.close()


async def by_cstore(port: int, **tls: Path) -> Verdict:
    target = {
        "name": "node",
        "kind": "cstore",
        "address": f"127.0.0.1:{port}",
        "called_ae_title": "ARCHIVE",
        "tls": tls,
    }
    sender = CStoreSender(CStoreTarget.model_validate(target), seconds=_SECONDS, connections=1)
    try:
        return await sender.send([capture()])
    finally:
        await sender.close()


async def test_web_target_is_taken_for_itself_only_where_its_authority_is_known(
    theirs: Certificate, ours: Certificate
) -> None:
    with web_server(theirs) as port:
        assert await by_stow(port, ca_file=theirs.path) == Delivered()
        assert await by_stow(port, ca_file=ours.path) == Failed(reason="tls")
        assert await by_stow(port) == Failed(reason="tls")


async def test_web_target_that_asks_who_we_are_is_shown_our_certificate(theirs: Certificate, ours: Certificate) -> None:
    with web_server(theirs, clients=ours) as port:
        shown = {"ca_file": theirs.path, "certificate_file": ours.path, "key_file": ours.key}
        assert await by_stow(port, **shown) == Delivered()
        assert isinstance(await by_stow(port, ca_file=theirs.path), Failed)


async def test_node_is_taken_for_itself_only_where_its_authority_is_known(
    theirs: Certificate, ours: Certificate
) -> None:
    with node(theirs) as port:
        assert await by_cstore(port, ca_file=theirs.path) == Delivered()
        assert isinstance(await by_cstore(port, ca_file=ours.path), Failed)


async def test_node_that_asks_who_we_are_is_shown_our_certificate(theirs: Certificate, ours: Certificate) -> None:
    with node(theirs, clients=ours) as port:
        shown = {"ca_file": theirs.path, "certificate_file": ours.path, "key_file": ours.key}
        assert await by_cstore(port, **shown) == Delivered()
