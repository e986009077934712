"""Settings of the DIMSE listener."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

# PS3.5 table 6.2-1: AE has 16 characters at most, none of them a backslash or a control character; spaces around it
# count for nothing, so that ours has none.
AeTitle = Annotated[str, StringConstraints(pattern=r"^[!-\[\]-~]([ -\[\]-~]{0,14}[!-\[\]-~])?$")]
# As API keys name sites (services.api.scopes).
_SITE_PATTERN = "^[a-z0-9][a-z0-9._-]{0,31}$"
Site = Annotated[str, StringConstraints(pattern=_SITE_PATTERN)]


class DimseSettings(BaseSettings):
    """The DIMSE listener. How large a film may be and how much may wait, `CXR_API_*` says, for both doors alike."""

    model_config = SettingsConfigDict(env_prefix="CXR_DIMSE_", frozen=True, extra="forbid")

    host: str = Field(
        default="127.0.0.1", description="Address to bind. Anything but loopback needs CXR_DIMSE_CALLERS."
    )
    port: int = Field(default=11112, ge=0, le=65535, description="Port to bind; 0 takes a free one.")
    ae_title: AeTitle = Field(
        default="CXR_TRIAGE", description="Our AE title; an association that calls another one is rejected."
    )
    callers: dict[AeTitle, Site] = Field(
        default_factory=dict,
        description='Calling AE titles that are let in, and the site of their films, as JSON: {"CR_ROOM_1": "north"}. '
        "Without it everybody is, to the site `default`, on loopback only.",
    )
    max_associations: int = Field(
        default=10, ge=1, le=100, description="Associations at once; one more is rejected for the moment."
    )
    pdu_bytes: int = Field(
        default=128 * 1024,
        ge=4096,
        le=1024**2,
        description="Largest PDU that senders may use. An association takes about 1 MiB and some of these in memory.",
    )
    idle_seconds: float = Field(
        default=60.0, ge=1, le=3600, description="An association on which nothing happens for this long is aborted."
    )
    network_seconds: float = Field(
        default=30.0,
        ge=1,
        le=600,
        description="A connection whose association request, TLS handshake or begun PDU takes longer is closed.",
    )
    film_seconds: float = Field(
        default=300.0, ge=1, le=3600, description="An association whose film takes longer to arrive is aborted."
    )
    stop_seconds: float = Field(
        default=30.0, ge=0, le=600, description="How long a stop waits for films that are arriving."
    )
    tls_certificate: Path | None = Field(
        default=None, description="PEM file with our certificate and its chain; with it only TLS is spoken."
    )
    tls_key: Path | None = Field(default=None, description="PEM file with the certificate's key.")
    tls_client_ca: Path | None = Field(
        default=None, description="PEM file of the authorities whose certificates senders must show."
    )
    metrics_host: str = Field(default="127.0.0.1", description="Address of the listener's /metrics and /health.")
    metrics_port: int = Field(
        default=9092, ge=0, le=65535, description="Port of the listener's /metrics; 0 takes a free one."
    )
    log_format: Literal["json", "text"] = Field(default="json", description="json for machines, text for a terminal.")

    @model_validator(mode="after")
    def _tls_is_whole(self) -> DimseSettings:
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise ValueError("CXR_DIMSE_TLS_CERTIFICATE and CXR_DIMSE_TLS_KEY go together")
        if self.tls_client_ca is not None and self.tls_certificate is None:
            raise ValueError("CXR_DIMSE_TLS_CLIENT_CA needs CXR_DIMSE_TLS_CERTIFICATE")
        return self
