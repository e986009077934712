"""Settings of a worker."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class WorkerSettings(BaseSettings):
    """A worker."""

    model_config = SettingsConfigDict(env_prefix="CXR_WORKER_", frozen=True, extra="forbid", protected_namespaces=())

    bundle: Path | None = Field(
        default=None, description="Bundle directory to serve; the one that ships with the package where absent."
    )
    bundle_digest: str | None = Field(
        default=None,
        pattern="^[0-9a-f]{64}$",
        description="sha256 that the bundle's manifest must have; the manifest pins every other file. A worker that "
        "finds another one does not start. Where absent, whoever can write the bundle can change its thresholds.",
    )
    bundle_store: Path = Field(
        default=Path("cxr-data/bundles"),
        description="Bundles that `cxr-triage bundle activate` has put here, by digest; shared by all workers.",
    )
    operating_point: str | None = Field(
        default=None, description="Operating point of the bundle that decides; the bundle's default where absent."
    )
    minimum_age_years: float = Field(default=18.0, ge=0, le=120, description="Younger patients end not_assessed(age).")
    require_age: bool = Field(
        default=False, description="Whether a film without an age ends not_assessed(age_unknown)."
    )
    provider: Literal["auto", "cpu", "cuda", "tensorrt", "openvino"] = Field(
        default="auto",
        description="Where the network runs; auto takes CUDA where it can be loaded, else the CPU. A named provider "
        "that does not become active stops the worker.",
    )
    precision: Literal["auto", "fp32", "bf16", "fp16"] = Field(
        default="auto",
        description="What the network is computed in; auto is fp32, in which thresholds were certified. bf16 "
        "(openvino, tensorrt) and fp16 (cuda, tensorrt) are faster and move probabilities; thresholds are lowered by "
        "0.01 and 0.0025 for it, so that more films are flagged (docs/decisions/0019-precision.md). An int8 bundle is "
        "computed as it was certified, whatever this says.",
    )
    engine_cache: Path | None = Field(
        default=None,
        description="Where TensorRT's engines are kept from one start to the next; absent, each start builds them, for "
        "minutes. Engines are programs: a directory that others can write stops the worker.",
    )
    cores: int = Field(
        default=0,
        ge=0,
        le=1024,
        description="Cores that this worker may count on; 0 is all that this process may use. With several workers on "
        "a machine they should not add up to more than it has; `cxr-triage up --workers` sees to that.",
    )
    threads: int = Field(
        default=0,
        ge=0,
        le=256,
        description="Threads of one inference; 0 is all cores with OpenVINO, else one. On the CPU provider as many "
        "inferences run at once as there are cores for: one thread each scores most films, all cores for one answers a "
        "lone film soonest.",
    )
    decoders: int = Field(
        default=0,
        ge=0,
        le=256,
        description="Decoding child processes; 0 is one per core, at most 32.",
    )
    max_batch: int = Field(
        default=0,
        ge=0,
        le=256,
        description="Films per inference; 0 is 32 on a GPU, else 4, or 2 where several run at once.",
    )
    max_batch_wait_ms: float = Field(
        default=4.0,
        ge=0,
        le=1000,
        description="How long a film on a GPU waits for company that is on its way, where its batch is not full. A CPU "
        "gains nothing from company and never waits.",
    )
    heartbeat_seconds: float = Field(default=5.0, gt=0, le=30, description="How often held films are kept alive.")
    idle_seconds: float = Field(
        default=30.0,
        gt=0,
        le=600,
        description="A film whose worker was silent for this long is given to another; several heartbeats long.",
    )
    batch_deadline_seconds: float = Field(
        default=60.0, gt=0, le=600, description="A batch that takes longer ends the worker, so that others take over."
    )
    max_crashes: int = Field(
        default=3, ge=1, le=10, description="A film that outlives more workers than this ends worker_crash."
    )
    retry_seconds: tuple[Annotated[float, Field(ge=0, le=3600)], ...] = Field(
        default=(1.0, 5.0, 25.0),
        min_length=1,
        description="Waits before each new attempt after a transient failure, as a JSON list.",
    )
    decode_seconds: float = Field(
        default=10.0,
        gt=0,
        le=120,
        description="Processor time of one film; more, or three times that on the clock, ends decode_timeout.",
    )
    decode_memory_bytes: int = Field(
        default=1024**3,
        ge=256 * 1024**2,
        description="Address space a film may use in a decoding child beyond the child's own; more ends decode_memory.",
    )
    decode_resolution: Literal["exact", "preview"] = Field(
        default="exact",
        description="exact decodes every pixel. preview leaves out details of JPEG 2000 and 8-bit JPEG films that are "
        "finer than the preview and four times the tensor show: much faster for large JPEG 2000 films, with scores "
        "that differ a little from those that thresholds were chosen on (docs/performance.md).",
    )
    # The bound: imagecodecs loses a reference of None with each damaged PNG, and a process has only so many.
    decodes_per_child: int = Field(
        default=200, ge=1, le=10_000, description="Films after which a decoding child is replaced."
    )
    require_sandbox: bool = Field(
        default=True,
        description="Whether a worker refuses to start where the kernel cannot keep decoding children from network, "
        "programs and other files. Off, they still have limits on memory, time and descriptors.",
    )
    reconcile_seconds: float = Field(default=60.0, gt=0, le=3600, description="How often queue and spool are compared.")
    metrics_host: str = Field(default="127.0.0.1", description="Address of the worker's /metrics and /health.")
    metrics_port: int = Field(
        default=9091, ge=0, le=65535, description="Port of the worker's /metrics; 0 takes a free one."
    )
    log_format: Literal["json", "text"] = Field(default="json", description="json for machines, text for a terminal.")
