"""Who is compared, and with which settings: those that each project's own documentation recommends, as far as it does.

A contender has two setups, its default first; a run tries each briefly and measures the default or a clearly faster one
(``choosing``), so that nobody loses to a setting that does not suit the machine. Knows no processes and no figures.

Sources of the settings, read 2026-11: LitServe, "Speed up serving by 200x" (workers, batching) and its ``fast_queue``;
Mosec, ``examples/resnet50_msgpack`` (a stage of decoders before one that batches); Ray Serve, "Performance Tuning" and
"Dynamic Request Batching"; BentoML, "Workers" and "Adaptive batching"; FastAPI, "Server Workers".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Final, Literal, TypeAlias

PEERS_CONSTRAINTS: Final = Path(__file__).parent / "constraints.txt"
# Batches of 8 that wait 5 ms: what the peers' examples use for a network of this size.
_BATCHING: Final = {"FILM_MAX_BATCH": "8", "FILM_MAX_WAIT_MS": "5"}
Precision: TypeAlias = Literal["fp32", "bf16", "int8"]
_COMMON: Final = ("numpy", "onnxruntime", "pillow")
_LOCAL: Final = ("--host", "127.0.0.1", "--port", "{port}")


class Speaks(StrEnum):
    """How a contender takes a film."""

    BODY = "body"  # as the request's body
    FORM = "form"  # as the part ``file`` of a form
    TRIAGE = "triage"  # as DESIGN §6 says: accepted, queued, waited for


class Kind(StrEnum):
    """What a contender stands for in the comparison."""

    OURS = "ours"
    USUAL = "usual"  # a peer as its examples are written, with Pillow
    TUNED = "tuned"  # a peer that was given what this service decodes with


@dataclass(frozen=True, kw_only=True)
class Home:
    """A virtual environment: its name, and what it has, in the versions of ``constraints.txt``."""

    name: str
    requirements: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Setup:
    """One way to start a contender: a command with ``{python}``, ``{port}``, ``{bundle}`` and ``{directory}`` in it."""

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Contender:
    """A server that scores films.

    Attributes
    ----------
    home
        ``None`` is an environment of this project's own: the one that the benchmark runs in, or, where ``extra`` names
        another build of onnxruntime, one with that extra.
    setups
        The first is its default: this service as it comes, a peer without the batches that it makes only where told to.
    precision
        In what its network computes: ``fp32`` for every peer.
    in_quick_runs
        Those that start slowly, and a handler that is slow by design, have no time there.
    ready
        What its log says when all of it is up; the others are up when they answer a film.
    """

    name: str
    kind: Kind
    speaks: Speaks
    setups: tuple[Setup, ...]
    home: Home | None = None
    extra: str | None = None
    precision: Precision = "fp32"
    in_quick_runs: bool = True
    ready: str = ""


def contenders(cores: int) -> tuple[Contender, ...]:
    """Return this service first, then the peers, with setups for so many cores."""
    return (
        _ours("this service", cores),
        _fastapi("FastAPI async", "fastapi_async", cores, in_quick_runs=False),
        _fastapi("FastAPI threads", "fastapi_threads", cores),
        Contender(
            name="LitServe",
            kind=Kind.USUAL,
            in_quick_runs=False,
            speaks=Speaks.FORM,
            home=Home(name="litserve", requirements=("litserve", "pyzmq", "python-multipart", *_COMMON)),
            setups=_single_or_batching(_program("litserve_server"), _program("litserve_server"), cores),
        ),
        _mosec("Mosec", Kind.USUAL, cores),
        _mosec("Mosec with OpenCV", Kind.TUNED, cores, FILM_DECODER="opencv"),
        Contender(
            name="Ray Serve",
            kind=Kind.USUAL,
            in_quick_runs=False,
            speaks=Speaks.BODY,
            home=Home(name="ray", requirements=("ray[serve]", *_COMMON)),
            setups=_single_or_batching(
                _program("ray_server"),
                _program("ray_server"),
                cores,
                RAY_SERVE_THROUGHPUT_OPTIMIZED="1",
                RAY_USAGE_STATS_ENABLED="0",
            ),
        ),
        Contender(
            name="BentoML",
            kind=Kind.USUAL,
            in_quick_runs=False,
            speaks=Speaks.FORM,
            home=Home(name="bentoml", requirements=("bentoml", *_COMMON)),
            setups=_single_or_batching(
                ("{python}", "-m", "bentoml", "serve", "bentoml_single:Film", *_LOCAL),
                ("{python}", "-m", "bentoml", "serve", "bentoml_batching:Film", *_LOCAL),
                cores,
                BENTOML_DO_NOT_TRACK="True",
            ),
        ),
    )


def faster_precisions(cores: int) -> tuple[Contender, ...]:
    """Return this service where it computes with fewer bits, through OpenVINO's provider."""
    openvino = {"CXR_WORKER_PROVIDER": "openvino"}
    bf16 = openvino | {"CXR_WORKER_PRECISION": "bf16"}
    return (
        _ours("this service, int8", cores, precision="int8", extra="openvino", **openvino),
        _ours("this service, bf16", cores, precision="bf16", extra="openvino", **bf16),
    )


def _ours(name: str, cores: int, *, precision: Precision = "fp32", extra: str | None = None, **more: str) -> Contender:
    """Redis, gateway, spool on the disk and sandboxed decoding, all of it on the same cores."""
    command = ("{python}", "-m", "services.cli", "up", "--port", "{port}", "--data-dir", "{directory}/data")
    common = {"CXR_SPOOL_MINIMUM_FREE_RATIO": "0", **more}
    one_each = {"CXR_WORKER_CORES": "1"}
    return Contender(
        name=name,
        kind=Kind.OURS,
        speaks=Speaks.TRIAGE,
        extra=extra,
        precision=precision,
        ready="ready: ",
        setups=(
            Setup(name="1 worker, defaults", command=(*command, "--bundle", "{bundle}"), environment=common),
            Setup(
                name=f"{cores} workers x 1 thread",
                command=(*command, "--bundle", "{bundle}", "--workers", str(cores)),
                environment=common | one_each,
            ),
        ),
    )


def _fastapi(name: str, program: str, cores: int, *, in_quick_runs: bool = True) -> Contender:
    # Naive on purpose: onnxruntime's own threads, which spin.
    return Contender(
        name=name,
        kind=Kind.USUAL,
        speaks=Speaks.FORM,
        in_quick_runs=in_quick_runs,
        home=Home(name="fastapi", requirements=("fastapi", "python-multipart", "uvicorn[standard]", *_COMMON)),
        setups=(
            Setup(name="1 process", command=_program(program), environment={"FILM_WORKERS": "1"}),
            Setup(name=f"{cores} processes", command=_program(program), environment={"FILM_WORKERS": str(cores)}),
        ),
    )


def _mosec(name: str, kind: Kind, cores: int, **more: str) -> Contender:
    command = (*_program("mosec_server"), "--address", "127.0.0.1", "--port", "{port}", "--timeout", "120000")
    return Contender(
        name=name,
        kind=kind,
        speaks=Speaks.BODY,
        home=Home(name="mosec", requirements=("mosec", "opencv-python-headless", *_COMMON)),
        setups=_single_or_batching(command, command, cores, decoders=cores, **more),
    )


def _program(name: str) -> tuple[str, ...]:
    return ("{python}", f"{name}.py")


def _single_or_batching(
    single: tuple[str, ...], batching: tuple[str, ...], cores: int, *, decoders: int = 1, **more: str
) -> tuple[Setup, ...]:
    """Return two setups: a process with one thread for each core, or one network on all cores that batches."""
    one_each = {"FILM_WORKERS": str(cores), "FILM_THREADS": "1"}
    batches = {"FILM_WORKERS": str(decoders), "FILM_THREADS": str(cores), **_BATCHING}
    return (
        Setup(name=f"{cores} x 1 thread", command=single, environment=one_each | more),
        Setup(name=f"batches of 8, {cores} threads", command=batching, environment=batches | more),
    )
