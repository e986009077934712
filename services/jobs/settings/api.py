"""Settings of the gateway."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict


class ApiSettings(BaseSettings):
    """The gateway."""

    model_config = SettingsConfigDict(env_prefix="CXR_API_", frozen=True, extra="forbid")

    host: str = Field(default="127.0.0.1", description="Address to bind. Anything but loopback needs a keys file.")
    port: int = Field(default=8080, ge=0, le=65535, description="Port to bind; 0 takes a free one.")
    keys_file: Path | None = Field(
        default=None,
        description="API keys, hashed (`cxr-triage key new`), read again each second. "
        "Without it the gateway is open, on loopback only.",
    )
    max_payload_bytes: int = Field(
        default=64 * 1024**2, ge=1024, description="A larger upload is cut off with 413 while it streams."
    )
    max_store_bytes: int = Field(
        default=1024**3,
        ge=1024,
        description="A larger STOW-RS request is cut off with 413; instances that were whole by then are kept.",
    )
    max_store_instances: int = Field(
        default=500, ge=1, le=10_000, description="Instances of one STOW-RS request; one more ends it with 413."
    )
    max_uploads: int = Field(
        default=32, ge=1, le=1024, description="Uploads in flight at once; one more is answered 503 with Retry-After."
    )
    upload_idle_seconds: float = Field(
        default=10.0, gt=0, le=300, description="An upload that sends nothing for this long is cut off with 408."
    )
    upload_total_seconds: float = Field(
        default=120.0, gt=0, le=3600, description="An upload that takes longer than this is cut off with 408."
    )
    routine_depth: int = Field(
        default=1000, ge=1, description="Routine films waiting; one more is refused with 503 and Retry-After."
    )
    stat_reserve: int = Field(default=200, ge=0, description="Room beyond routine_depth that only stat films may use.")
    overdue_stat_seconds: int = Field(default=120, ge=1, description="An open stat film older than this is overdue.")
    overdue_routine_seconds: int = Field(
        default=900, ge=1, description="An open routine film older than this is overdue."
    )
    queue_bytes: int = Field(
        default=8 * 1024**3,
        ge=1024**2,
        description="Payload bytes of films without an outcome; an upload beyond them is refused with 503.",
    )
    site_share: float = Field(
        default=0.5,
        gt=0,
        le=1,
        description="Share of the backlog that one of several sites may fill; its films beyond are refused with 429.",
    )
    max_uploads_per_key: int = Field(
        default=4, ge=1, le=1024, description="Uploads in flight of one key; one more is answered 429. Needs keys."
    )
    upload_rate_per_key: float = Field(
        default=20.0, gt=0, description="Uploads a second of one key, on average; beyond it 429. Needs keys."
    )
    upload_burst_per_key: int = Field(default=60, ge=1, description="Uploads of one key at once, above that average.")
    failed_sign_ins_per_minute: int = Field(
        default=10, ge=1, description="Wrong keys from one address in a minute; further wrong ones are answered 429."
    )
    session_hours: float = Field(default=12.0, gt=0, le=168, description="How long the page stays signed in.")
    secure_cookie: bool = Field(
        default=True,
        description="Whether browsers send the page's cookie over HTTPS only (and on loopback). Off without TLS.",
    )
    policy_sensitivity_floor: float = Field(
        default=0.95,
        ge=0.0,
        le=1.0,
        description="A policy whose threshold is less sensitive on the model's test patients is refused with 422, "
        "unless a reason is given.",
    )
    blind_share: float = Field(
        default=0.02,
        ge=0.0,
        le=1.0,
        description="Share of decided studies that are drawn to be read without their outcome; 0 draws none, and then "
        "nobody learns what is missed. The same at every gateway.",
    )
    blind_seed: int = Field(
        default=0,
        ge=0,
        le=2**63 - 1,
        description="By this number studies are drawn; who knows it knows which. The same at every gateway.",
    )
    header_seconds: float = Field(
        default=10.0, gt=0, le=300, description="A request whose headers take longer is cut off with 408."
    )
    upkeep_seconds: float = Field(
        default=60.0,
        gt=0,
        le=600,
        description="How often films past their deadline are ended, and without live workers queue and spool compared.",
    )
    log_format: Literal["json", "text"] = Field(default="json", description="json for machines, text for a terminal.")

    @model_validator(mode="after")
    def _one_film_fits(self) -> ApiSettings:
        if self.queue_bytes < self.max_payload_bytes:
            raise ValueError("CXR_API_QUEUE_BYTES must not be below CXR_API_MAX_PAYLOAD_BYTES: such a film never fits")
        return self
