"""How the DIMSE listener starts, or says in one line why it does not; and TLS."""

import socket
import ssl
import subprocess
from pathlib import Path

import pytest

from services.dicom.codes import Status
from tests.support.dimse import VERIFICATION, associated, listening
from tests.support.films import IMPLICIT
from tests.support.gateway import ServiceProcess, environment, wait_until
from tests.support.redis_server import RedisServer
from tests.support.tools import require_tools


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"dimse_host": "0.0.0.0"}, "settings_error: CXR_DIMSE_HOST is 0.0.0.0, which others can reach"),
        ({"dimse_host": "no.such.host.invalid"}, "settings_error: CXR_DIMSE_HOST is no.such.host.invalid"),
        ({"dimse_callers": '{"A": "Not A Site"}'}, "settings_error: CXR_DIMSE_CALLERS"),
        ({"dimse_ae_title": "LONGER THAN SIXTEEN"}, "settings_error: CXR_DIMSE_AE_TITLE"),
        ({"dimse_tls_key": "/nowhere"}, "settings_error: CXR_DIMSE_TLS_CERTIFICATE and CXR_DIMSE_TLS_KEY"),
        (
            {"dimse_tls_key": "/nowhere", "dimse_tls_certificate": "/nowhere"},
            "settings_error: CXR_DIMSE_TLS_*: a certificate, key or authority cannot be used: No such file",
        ),
    ],
)
def test_what_is_wrong_with_an_installation_is_one_line(tmp_path: Path, settings: dict[str, object], line: str) -> None:
    places = {"spool_directory": tmp_path / "spool", "audit_directory": tmp_path / "audit", "dimse_metrics_port": 0}
    process = ServiceProcess(
        ["-m", "services.dimse"], tmp_path / "log", environment(**(places | {"dimse_port": 0} | settings))
    )
    assert process.process.wait(120) == 2
    said = [text for text in process.output.splitlines() if not text.startswith("{")]
    assert len(said) == 1
    assert said[0].startswith(f"cxr-triage dimse: {line}")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    require_tools("openssl")
    directory = tmp_path_factory.mktemp("tls")
    certificate, key = directory / "certificate.pem", directory / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    subprocess.run(
        [*command, "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", certificate],
        check=True,
        capture_output=True,
    )
    return certificate, key


def test_over_tls_only_who_has_a_certificate_is_heard(
    redis_server: RedisServer, tmp_path: Path, certificate: tuple[Path, Path]
) -> None:
    own, key = certificate
    settings = {"dimse_tls_certificate": own, "dimse_tls_key": key, "dimse_tls_client_ca": own}
    trusting = ssl.create_default_context(cafile=str(own))
    with listening(tmp_path, redis_server, **settings) as process:
        with associated(process.port, (VERIFICATION, [IMPLICIT])) as plain:
            assert not plain.is_established
        with associated(process.port, (VERIFICATION, [IMPLICIT]), tls=(trusting, "127.0.0.1")) as nameless:
            wait_until(lambda: not nameless.is_established, what="the end of an association without a certificate")
        trusting.load_cert_chain(own, key)
        silent = socket.create_connection(("127.0.0.1", process.port))
        with silent, associated(process.port, (VERIFICATION, [IMPLICIT]), tls=(trusting, "127.0.0.1")) as known:
            assert known.send_c_echo().Status == Status.SUCCESS
