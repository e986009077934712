"""The walk of one film inside its child: payload bytes to tensor and preview, or the reason why not.

Knows no sockets and no limits; ``child`` calls it. Whatever a film does to it ends this process and that film's
assessment, nothing else.
"""

from __future__ import annotations

import hashlib
import os
import time
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from model.decoding.codecs import load_codecs
from model.decoding.decode import decode
from model.decoding.header import Header, ImageFormat, with_claims
from model.decoding.inspect import inspect_header
from model.decoding.png import load_png
from model.errors import ImageError, LateralView, Reason, UnsuitableImage
from model.gate import gate_header, gate_image
from model.image import GrayImage, Tensor
from model.kernels import load_kernels
from model.phantom import chest_phantom
from model.preprocessing import PreprocessingSpec, preprocess
from model.preview import Preview, preview
from services.worker.decoding.messages import DecodingReply, FilmOrder, ReplyStatus
from services.worker.decoding.resolution import accepted_reduction

_WARM_UP_SIDE: Final = 64


class PayloadUnreadable(Exception):
    """The spool did not give the payload; the film is not to blame."""


@dataclass(frozen=True, kw_only=True)
class OpenedFilm:
    """A decoded film: its tensor ``(1, s, s)`` uint8, or why it may not be judged; and its preview, if one was made.

    ``age_years`` and ``sex`` are there with a tensor, where the order wants them and they are known.
    """

    tensor: Tensor | None = None
    refusal: UnsuitableImage | None = None
    preview: Preview | None = None
    age_years: float | None = None
    sex: str | None = None

    @property
    def pixels(self) -> tuple[NDArray[np.uint8], ...]:
        """What goes into the shared memory, in this order."""
        return tuple(array for array in (self.tensor, self.preview) if array is not None)


def open_film(order: FilmOrder, payload: int) -> OpenedFilm:
    """Walk one film from its payload's descriptor to its tensor, or to its refusal by the gate.

    Raises
    ------
    ImageError
        With the reason why the film cannot be shown or judged; ``payload_digest`` where the bytes are not those
        accepted.
    PayloadUnreadable
        If the payload cannot be read.
    """
    content = _read_verified(order, payload)
    claims = order.claims
    header = with_claims(inspect_header(content), view=claims.view, age_years=claims.age_years, sex=claims.sex)
    gate_header(header, order.gate)
    image = decode(content, header, reduction=accepted_reduction(order, header))
    try:
        gate_image(image, header)
    except UnsuitableImage as refusal:
        # Somebody has to look at it now, and can: these are its own pixels.
        return OpenedFilm(refusal=refusal, preview=_preview(image))
    age_years, sex = _age_and_sex(header) if order.wants_age_sex else (None, None)
    tensor = preprocess(image, order.preprocessing)
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


def _read_verified(order: FilmOrder, payload: int) -> bytes:
    # Read once: what is hashed is what is decoded. One byte more than accepted shows a file that has grown.
    try:
        content = _read(payload, order.payload_bytes + 1)
    except OSError as error:
        raise PayloadUnreadable from error
    if hashlib.sha256(content).hexdigest() != order.sha256:
        raise UnsuitableImage(Reason.PAYLOAD_DIGEST, "the payload differs from the one that was accepted")
    return content


def _read(file: int, at_most_bytes: int) -> bytes:
    parts: list[bytes] = []
    offset = 0
    # From the start, whoever has read from this descriptor before.
    while part := os.pread(file, at_most_bytes - offset, offset):
        parts.append(part)
        offset += len(part)
    return b"".join(parts)


def answer(order: FilmOrder, payload: int) -> tuple[DecodingReply, tuple[NDArray[np.uint8], ...]]:
    """Return the reply to an order, and tensor and preview where there are any."""
    started = time.perf_counter()
    film = OpenedFilm()
    status, reason, error = ReplyStatus.NOT_ASSESSED, None, None
    is_lateral = False
    try:
        film = open_film(order, payload)
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
        sha256=order.sha256,
        status=status,
        reason=reason,
        is_lateral=is_lateral,
        error=error,
        decode_ms=(time.perf_counter() - started) * 1000,
        preview_shape=None if film.preview is None else (film.preview.shape[0], film.preview.shape[1]),
        age_years=film.age_years,
        sex=film.sex,
    )
    return reply, film.pixels


def warm_up() -> None:
    """Load now what libraries load on first use: afterwards no film needs another file.

    A film of any accepted transfer syntax imports nothing more (``tests/integration/test_decoding_sandbox.py``).
    """
    load_codecs()
    load_png()
    load_kernels()
    levels = np.rint(chest_phantom(0, rows=_WARM_UP_SIDE, columns=_WARM_UP_SIDE) * 255).astype(np.uint8)
    image = GrayImage(pixels=levels, black=0.0, white=255.0)
    gate_image(image, Header(image_format=ImageFormat.PNG, rows=_WARM_UP_SIDE, columns=_WARM_UP_SIDE))
    preprocess(image, PreprocessingSpec(size=_WARM_UP_SIDE))
    preview(image)
