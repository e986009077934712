"""The process that opens films: ``python -m services.worker.decoding_child LIMITS``, started by ``decoding_pool``.

Owns the walk from payload bytes to tensor and preview, and the limits it happens under. Must not know Redis, jobs or
credentials: its environment holds none. Whatever a film does to it ends this process and that film's assessment,
nothing else.
"""

from __future__ import annotations

import ctypes
import hashlib
import math
import os
import resource
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2

from model.decoding.decode import decode
from model.decoding.header import Header, with_claims
from model.decoding.inspect import inspect_header
from model.errors import ImageError, LateralView, Reason, UnsuitableImage
from model.gate import gate_header, gate_image
from model.image import GrayImage, Tensor
from model.preprocessing import preprocess
from model.preview import Preview, preview
from services.worker.decoding_messages import (
    OPENED,
    READY,
    DecodingLimits,
    DecodingReply,
    DecodingRequest,
    ReplyStatus,
    frame,
    read_frame,
)

# Standard streams, one payload, and what Python opens to import a codec on its first use.
_MAX_OPEN_FILES: Final = 32
# linux/prctl.h
_PR_SET_PDEATHSIG: Final = 1
_PR_SET_NO_NEW_PRIVS: Final = 38


class PayloadUnreadable(Exception):
    """The spool did not give the payload; the film is not to blame."""


@dataclass(frozen=True, kw_only=True)
class OpenedFilm:
    """A decoded film: its tensor ``(1, s, s)`` uint8, or why it may not be judged; and its preview, if one was made.

    ``age_years`` and ``sex`` are there with a tensor, where the request wants them and they are known.
    """

    tensor: Tensor | None = None
    refusal: UnsuitableImage | None = None
    preview: Preview | None = None
    age_years: float | None = None
    sex: str | None = None


def open_film(request: DecodingRequest) -> OpenedFilm:
    """Walk one film from its payload to its tensor, or to its refusal by the gate.

    Raises
    ------
    ImageError
        With the reason why the film cannot be shown or judged; ``payload_digest`` where the bytes are not those
        accepted.
    PayloadUnreadable
        If the payload cannot be read.
    """
    payload = _read_verified(request)
    claims = request.claims
    header = with_claims(inspect_header(payload), view=claims.view, age_years=claims.age_years, sex=claims.sex)
    gate_header(header, request.gate)
    image = decode(payload, header)
    try:
        gate_image(image, header)
    except UnsuitableImage as refusal:
        # Somebody has to look at it now, and can: these are its own pixels.
        return OpenedFilm(refusal=refusal, preview=_preview(image))
    age_years, sex = _age_and_sex(header) if request.wants_age_sex else (None, None)
    tensor = preprocess(image, request.preprocessing)
    return OpenedFilm(tensor=tensor, preview=_preview(image), age_years=age_years, sex=sex)


def _age_and_sex(header: Header) -> tuple[float | None, str | None]:
    """Return what is known of the patient: no age where it contradicts itself, no sex but ``F`` and ``M``."""
    age_years = None if header.age_is_contradictory else header.age_years
    sex = (header.sex or "").strip().upper()
    return age_years, sex if sex in ("F", "M") else None


def _preview(image: GrayImage) -> Preview | None:
    """Return the preview, or nothing where it cannot be made: a film is judged without one."""
    try:
        return preview(image)
    except (MemoryError, cv2.error):
        return None


def _read_verified(request: DecodingRequest) -> bytes:
    # Read once: what is hashed is what is decoded. One byte more than accepted shows a file that has grown.
    try:
        with request.path.open("rb") as file:
            payload = file.read(request.payload_bytes + 1)
    except OSError as error:
        raise PayloadUnreadable from error
    if hashlib.sha256(payload).hexdigest() != request.sha256:
        raise UnsuitableImage(Reason.PAYLOAD_DIGEST, "the payload differs from the one that was accepted")
    return payload


def answer(content: bytes) -> tuple[DecodingReply, bytes]:
    """Return the reply to a request frame, and the bytes of tensor and preview where there are any."""
    started = time.perf_counter()
    request = DecodingRequest.model_validate_json(content)
    film = OpenedFilm()
    status, reason, error = ReplyStatus.NOT_ASSESSED, None, None
    is_lateral = False
    try:
        film = open_film(request)
        if film.refusal is not None:
            reason, error = film.refusal.reason, type(film.refusal).__name__
        else:
            status = ReplyStatus.TENSOR
    except ImageError as refused:
        reason, error = refused.reason, type(refused).__name__
        is_lateral = isinstance(refused, LateralView)
    except PayloadUnreadable as failed:
        status, error = ReplyStatus.UNREADABLE, type(failed.__cause__).__name__
    except MemoryError as exhausted:
        reason, error = Reason.DECODE_MEMORY, type(exhausted).__name__
    except Exception as unforeseen:  # noqa: BLE001 - the outermost guard: no film may be lost to a parser's surprise
        reason, error = Reason.DECODE_ERROR, type(unforeseen).__name__
    reply = DecodingReply(
        sha256=request.sha256,
        status=status,
        reason=reason,
        is_lateral=is_lateral,
        error=error,
        decode_ms=(time.perf_counter() - started) * 1000,
        preview_shape=None if film.preview is None else (film.preview.shape[0], film.preview.shape[1]),
        age_years=film.age_years,
        sex=film.sex,
    )
    return reply, b"".join(array.tobytes() for array in (film.tensor, film.preview) if array is not None)


def _confine(limits: DecodingLimits) -> None:
    """Give up what decoding does not need. Irrevocable, so it comes after every import."""
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        own_pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
        space = own_pages * resource.getpagesize() + limits.memory_bytes
        resource.setrlimit(resource.RLIMIT_AS, (space, space))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (_MAX_OPEN_FILES, _MAX_OPEN_FILES))


def _allow_processor_time(seconds: float) -> None:
    # RLIMIT_CPU counts from the start of the process, so each film moves it on. Past the limit comes SIGXCPU.
    usage = resource.getrusage(resource.RUSAGE_SELF)
    limit = math.ceil(usage.ru_utime + usage.ru_stime + seconds)
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (limit, hard))


def run_child(answer: Callable[[bytes], tuple[DecodingReply, bytes]]) -> None:
    """Confine this process, then answer films from stdin until the worker closes it, also by dying."""
    limits = DecodingLimits.model_validate_json(sys.argv[1])
    requests = sys.stdin.buffer
    # Codecs print to stdout and stderr, and what they print may quote the film: neither may reach the worker. stderr
    # stays open until here, so that an installation that cannot even import says why.
    replies = os.fdopen(os.dup(1), "wb")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    _confine(limits)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    replies.write(READY)
    replies.flush()
    while (content := read_frame(requests)) is not None:
        _allow_processor_time(limits.seconds)
        replies.write(OPENED)
        replies.flush()
        reply, arrays = answer(content)
        replies.write(frame(reply))
        replies.write(arrays)
        replies.flush()


if __name__ == "__main__":
    run_child(answer)
