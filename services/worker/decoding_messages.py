"""What the worker and its decoding children say to each other over two pipes.

A frame is a length (4 bytes, big endian) and that many bytes. The worker sends one request frame a film. The child
answers ``READY`` once, when it may be used; then for each film ``OPENED``, a reply frame, the ``size * size`` bytes of
the tensor where one was made, and the ``rows * columns`` bytes of the preview where the reply states its shape.
``OPENED`` separates a child that died idle from one that died of the film. A reply repeats the request's ``sha256``:
what a film made its child say too much must never be taken for the next film's answer.
"""

from __future__ import annotations

import struct
from enum import StrEnum
from pathlib import Path
from typing import Annotated, BinaryIO, Final, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

from model.errors import Reason
from model.gate import GateSpec
from model.preprocessing import PreprocessingSpec
from model.preview import PREVIEW_SIDE
from services.jobs.records import Claims

READY: Final = b"R"
OPENED: Final = b"O"
LENGTH: Final = struct.Struct(">I")
# Requests and replies are a few hundred bytes; a longer one is a child gone mad.
MAX_FRAME_BYTES: Final = 16 * 1024

_PreviewSide: TypeAlias = Annotated[int, Field(ge=1, le=PREVIEW_SIDE)]


class DecodingLimits(BaseModel):
    """What one child may use.

    ``memory_bytes`` is address space beyond what the child needs for itself; ``seconds`` is processor time a film;
    ``films`` is how many films a child decodes before it is replaced.
    """

    model_config = ConfigDict(frozen=True)

    memory_bytes: int
    seconds: float
    films: int


class DecodingRequest(BaseModel):
    """One film to decode, gate and preprocess.

    ``payload_bytes`` and ``sha256`` are those that the gateway counted while the film came in. ``wants_age_sex``: the
    served network takes age and sex, so that the reply has to say them; they are patient data and go nowhere else.
    """

    model_config = ConfigDict(frozen=True)

    path: Path
    payload_bytes: int
    sha256: str
    claims: Claims
    gate: GateSpec
    preprocessing: PreprocessingSpec
    wants_age_sex: bool = False


class ReplyStatus(StrEnum):
    """How a film fared in the child."""

    TENSOR = "tensor"  # its bytes follow the frame
    NOT_ASSESSED = "not_assessed"  # for ``reason``
    UNREADABLE = "unreadable"  # the spool could not be read; the film is not to blame


class DecodingReply(BaseModel):
    """What became of a film. ``error`` is the class of what went wrong, for the log; never its text.

    ``sha256`` is the request's. ``is_lateral``: the reason is ``view``, and the film is certainly a lateral.
    ``preview_shape``: rows and columns of the preview, where there is one; also of a film that was decoded but may not
    be judged. ``age_years`` and ``sex``: of the patient, where they were asked for and are known.
    """

    model_config = ConfigDict(frozen=True)

    sha256: str
    status: ReplyStatus
    reason: Reason | None = None
    is_lateral: bool = False
    error: str | None = None
    decode_ms: float = 0.0
    preview_shape: tuple[_PreviewSide, _PreviewSide] | None = None
    age_years: float | None = None
    sex: str | None = Field(default=None, pattern="^[FM]$")


def frame(message: BaseModel) -> bytes:
    """Return the message as one frame."""
    content = message.model_dump_json().encode()
    return LENGTH.pack(len(content)) + content


def read_frame(pipe: BinaryIO) -> bytes | None:
    """Return the next frame's content, or ``None`` where the other side has closed the pipe."""
    head = pipe.read(LENGTH.size)
    if len(head) < LENGTH.size:
        return None
    (length,) = LENGTH.unpack(head)
    content = pipe.read(length)
    return content if len(content) == length else None
