"""What the worker, its zygote and its decoding children say to each other.

Worker and zygote share one socket, worker and each child another, both of the kind that keeps messages apart
(``SOCK_SEQPACKET``). The worker asks the zygote to ``FORK`` a child, handing over the child's socket and the memory
for its pixels, or to ``KILL`` one; the zygote tells how each child ended. A child says ``READY`` once, followed by the
name of its sandbox. Then the worker sends an order with the payload's descriptor; the child says ``OPENED`` and, when
it has written the pixels into the shared memory, a reply that states their shape. ``OPENED`` separates a child that
died idle from one that died of the film. A reply repeats the order's ``sha256``: what a film made its child say too
much must never be taken for the next film's answer.
"""

from __future__ import annotations

import struct
from enum import StrEnum
from typing import Annotated, Final, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

from model.errors import Reason
from model.gate import GateSpec
from model.preprocessing import MAX_SIDE, PreprocessingSpec
from model.preview import PREVIEW_SIDE
from services.jobs.records import Claims

READY: Final = b"R"
OPENED: Final = b"O"
# Verb and number of the child; number and exit code as ``waitstatus_to_exitcode`` has it, or that it was never born.
ASKED: Final = struct.Struct(">cI")
ENDED: Final = struct.Struct(">Ii")
FORK: Final = b"F"
KILL: Final = b"K"
NEVER_BORN: Final = 1 << 30
# Orders and replies are a few hundred bytes; a longer one is a child gone mad.
MAX_MESSAGE_BYTES: Final = 16 * 1024
# The tensor, and behind it the preview. Pages that no film fills are never allocated.
PIXELS_BYTES: Final = MAX_SIDE**2 + PREVIEW_SIDE**2

# An hour: far beyond any limit on a film, and too little to spoil a sum.
_MOST_DECODE_MS: Final = 3_600_000.0

DecodeResolution: TypeAlias = Literal["exact", "preview"]
_PreviewSide: TypeAlias = Annotated[int, Field(ge=1, le=PREVIEW_SIDE)]


class Sandbox(StrEnum):
    """What keeps a child from everything but decoding."""

    SECCOMP = "seccomp"  # the kernel refuses every system call that decoding does not need
    LIMITS = "limits"  # limits on memory, time and files alone


class DecodingLimits(BaseModel):
    """What one child may use.

    ``memory_bytes`` is address space beyond what the child needs for itself; ``seconds`` is processor time a film;
    ``films`` is how many films a child decodes before it is replaced.
    """

    model_config = ConfigDict(frozen=True)

    memory_bytes: int
    seconds: float
    films: int


class FilmOrder(BaseModel):
    """One film to decode, gate and preprocess, as its child is told: without its place in the spool.

    ``payload_bytes`` and ``sha256`` are those that the gateway counted while the film came in. ``wants_age_sex``: the
    served network takes age and sex, so that the reply has to say them; they are patient data and go nowhere else.
    ``resolution``: whether every pixel of the film is decoded, or what tensor and preview need (see ``resolution``).
    """

    model_config = ConfigDict(frozen=True)

    payload_bytes: int
    sha256: str
    claims: Claims
    gate: GateSpec
    preprocessing: PreprocessingSpec
    wants_age_sex: bool = False
    resolution: DecodeResolution = "exact"


class ReplyStatus(StrEnum):
    """How a film fared in the child."""

    TENSOR = "tensor"  # its pixels are in the shared memory
    NOT_ASSESSED = "not_assessed"  # for ``reason``
    UNREADABLE = "unreadable"  # the spool could not be read; the film is not to blame


class DecodingReply(BaseModel):
    """What became of a film. ``error`` is the class of what went wrong, for the log; never its text.

    ``sha256`` is the order's. ``is_lateral``: the reason is ``view``, and the film is certainly a lateral.
    ``preview_shape``: rows and columns of the preview, where there is one; also of a film that was decoded but may not
    be judged. ``age_years`` and ``sex``: of the patient, where they were asked for and are known.
    """

    model_config = ConfigDict(frozen=True)

    sha256: str
    status: ReplyStatus
    reason: Reason | None = None
    is_lateral: bool = False
    # Bounded, because both reach logs and metrics: a child that a film has taken over must not write or spoil them.
    error: str | None = Field(default=None, max_length=100, pattern="^[A-Za-z_][A-Za-z0-9_]*$")
    decode_ms: float = Field(default=0.0, ge=0, le=_MOST_DECODE_MS, allow_inf_nan=False)
    preview_shape: tuple[_PreviewSide, _PreviewSide] | None = None
    age_years: float | None = Field(default=None, allow_inf_nan=False)
    sex: str | None = Field(default=None, pattern="^[FM]$")


def encode(message: BaseModel) -> bytes:
    """Return a message as it is sent."""
    return message.model_dump_json().encode()
