"""Settings of delivery: where results go, and how long a target may be away."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class DeliverySettings(BaseSettings):
    """Delivery of results."""

    model_config = SettingsConfigDict(env_prefix="CXR_DELIVERY_", frozen=True, extra="forbid")

    targets_file: Path | None = Field(
        default=None,
        description="TOML file that names every target (docs/integration.md); read once. Nothing else decides where "
        "results go. Delivery does not start without it.",
    )
    concurrency: int = Field(
        default=4, ge=1, le=64, description="Results under way to one target at once; each target has its own."
    )
    send_seconds: float = Field(
        default=30.0,
        gt=0,
        le=600,
        description="A target that has not answered one result after this long has failed it, for now.",
    )
    first_wait_seconds: float = Field(
        default=1.0, gt=0, le=60, description="Longest wait after the first failure of a result; it doubles with each."
    )
    longest_wait_seconds: float = Field(
        default=900.0, gt=0, le=3600, description="Longest wait between two attempts at one result."
    )
    attempts: int = Field(
        default=10,
        ge=1,
        le=10_000,
        description="A result becomes a dead letter after so many failures, once CXR_DELIVERY_GIVE_UP_HOURS are over, "
        "too.",
    )
    give_up_hours: float = Field(
        default=70.0,
        ge=0,
        le=72,
        description="No result becomes a dead letter before this age because its target is away: a weekend's outage "
        "loses nothing. Payloads, of which reports are made, are held for targets for 72 hours. What a target refuses "
        "for good becomes a dead letter at once.",
    )
    circuit_failures: int = Field(
        default=5, ge=1, le=1000, description="After so many failures in a row a target gets one probe at a time."
    )
    probe_seconds: float = Field(
        default=60.0, gt=0, le=3600, description="Longest wait between two probes of a target that does not answer."
    )
    idle_seconds: float = Field(
        default=1.0, gt=0, le=60, description="How often the outbox is asked for results while it has none."
    )
    metrics_host: str = Field(default="127.0.0.1", description="Address of delivery's /metrics and /health.")
    metrics_port: int = Field(
        default=9093, ge=0, le=65535, description="Port of delivery's /metrics; 0 takes a free one."
    )
    log_format: Literal["json", "text"] = Field(default="json", description="json for machines, text for a terminal.")
