"""What Orthanc is told: its peers, its ports, where it stores. Beside ``orthanc``, which runs it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.support.gateway import CLIENT_SECONDS
from tests.support.tools import lacking

# Debian links the plugin of the second directory from the first one.
_PLUGIN_DIRECTORIES: Final = (Path("/usr/share/orthanc/plugins"), Path("/usr/lib/orthanc"))
_PLUGIN: Final = "libOrthancDicomWeb.so"


@dataclass(frozen=True, kw_only=True)
class Modality:
    """A peer that Orthanc sends to by C-STORE. Without ``is_transcoding`` it sends films only as it stores them."""

    aet: str
    port: int
    host: str = "127.0.0.1"
    is_transcoding: bool = True


@dataclass(frozen=True, kw_only=True)
class WebServer:
    """A peer that Orthanc sends to by STOW-RS. ``url`` ends before ``studies``; credentials go as HTTP Basic."""

    url: str
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    is_chunked: bool = True


@dataclass(frozen=True, kw_only=True)
class Places:
    """What an archive keeps from one start to the next."""

    directory: Path
    aet: str
    http_port: int
    dicom_port: int
    users: Mapping[str, str] = field(repr=False)


def configuration(
    places: Places, modalities: Mapping[str, Modality], servers: Mapping[str, WebServer]
) -> dict[str, object]:
    """Return Orthanc's configuration; what it does not name has Orthanc's defaults, as in a hospital."""
    storage = str(places.directory / "storage")
    return {
        "Name": str(places.directory),
        "StorageDirectory": storage,
        "IndexDirectory": storage,
        "Plugins": [str(dicomweb_plugin())],
        "HttpPort": places.http_port,
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": bool(places.users),
        "RegisteredUsers": dict(places.users),
        "DicomAet": places.aet,
        "DicomPort": places.dicom_port,
        "DicomCheckCalledAet": True,
        "DicomModalities": {name: _modality(modality) for name, modality in modalities.items()},
        "DicomWeb": {"Enable": True, "Root": "/dicom-web/", "Servers": _servers(servers)},
        # A slow machine is no fault of the peer.
        "DicomScuTimeout": int(CLIENT_SECONDS),
        "HttpTimeout": int(CLIENT_SECONDS),
        # Jobs that were under way at a kill would go on by themselves at the next start.
        "SaveJobs": False,
        "OverwriteInstances": False,
    }


def dicomweb_plugin() -> Path:
    """Return where the plugin is; else skip, or fail where ``CI=true``."""
    found = [path for directory in _PLUGIN_DIRECTORIES for path in sorted(directory.glob(f"{_PLUGIN}*"))]
    if not found:
        lacking("orthanc-dicomweb not installed")
    return found[0]


def environment_without_proxies() -> dict[str, str]:
    """Return this process's environment for Orthanc, whose libcurl would ask a proxy for loopback too."""
    kept = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    return kept | {"LC_ALL": "C.UTF-8"}


def _modality(modality: Modality) -> dict[str, object]:
    return {
        "AET": modality.aet,
        "Host": modality.host,
        "Port": modality.port,
        "AllowTranscoding": modality.is_transcoding,
    }


def _servers(servers: Mapping[str, WebServer]) -> dict[str, dict[str, object]]:
    written: dict[str, dict[str, object]] = {}
    for name, server in servers.items():
        entry: dict[str, object] = {"Url": server.url, "ChunkedTransfers": server.is_chunked}
        if server.user is not None:
            entry |= {"Username": server.user, "Password": server.password or ""}
        if server.headers:
            entry["HttpHeaders"] = dict(server.headers)
        written[name] = entry
    return written
