"""Certificates of loopback, for tests of both sides of a TLS connection."""

from __future__ import annotations

import ssl
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.support.tools import require_tools


@dataclass(frozen=True, kw_only=True)
class Certificate:
    """A certificate of 127.0.0.1 that is its own authority, and its key."""

    path: Path
    key: Path

    def server_context(self, *, clients: Certificate | None = None) -> ssl.SSLContext:
        """Return what a server needs that shows it; where ``clients`` is given, it wants that of its clients."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(self.path, self.key)
        if clients is not None:
            context.load_verify_locations(clients.path)
            context.verify_mode = ssl.CERT_REQUIRED
        return context


def self_signed(directory: Path, name: str) -> Certificate:
    """Make one, by openssl."""
    require_tools("openssl")
    made = Certificate(path=directory / f"{name}.pem", key=directory / f"{name}.key")
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={name}"]
    names = ["-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run([*command, *names, "-keyout", made.key, "-out", made.path], check=True, capture_output=True)
    return made
