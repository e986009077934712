"""How much smaller films are decoded at preview resolution, and that nobody who looks at them notices."""

from __future__ import annotations

import hashlib
import os
import tempfile

import numpy as np
import pytest

from model.decoding.header import Header, ImageFormat
from model.gate import GateSpec
from model.preprocessing import PreprocessingSpec
from services.jobs.records import Claims
from services.worker.decoding.film import OpenedFilm, open_film
from services.worker.decoding.messages import DecodeResolution, FilmOrder
from services.worker.decoding.resolution import accepted_reduction
from tests.support import films


def order(payload: bytes = b"", *, side: int = 224, resolution: DecodeResolution = "preview") -> FilmOrder:
    return FilmOrder(
        payload_bytes=len(payload),
        sha256=hashlib.sha256(payload).hexdigest(),
        claims=Claims(),
        gate=GateSpec(),
        preprocessing=PreprocessingSpec(size=side),
        resolution=resolution,
    )


def header(rows: int, columns: int, *, pixel_aspect: float = 1.0) -> Header:
    return Header(image_format=ImageFormat.DICOM, rows=rows, columns=columns, pixel_aspect=pixel_aspect)


@pytest.mark.parametrize(
    ("rows", "columns", "side", "reduction"),
    [
        (3000, 2500, 128, 4),  # 750: the preview's own size
        (3000, 2500, 224, 2),  # 750 would be less than four times 224
        (3000, 2500, 512, 1),
        (2500, 2048, 224, 2),
        (2000, 2000, 224, 1),  # its preview is shrunk by 3
        (1024, 1024, 128, 2),
        (1024, 1024, 224, 1),
        (768, 600, 128, 1),  # its preview is not shrunk
        (6000, 4000, 224, 4),
        (6000, 4000, 128, 8),
    ],
)
def test_films_are_reduced_as_far_as_preview_and_tensor_allow(
    rows: int, columns: int, side: int, reduction: int
) -> None:
    assert accepted_reduction(order(side=side), header(rows, columns)) == reduction
    assert accepted_reduction(order(side=side), header(columns, rows)) == reduction


def test_films_are_decoded_exactly_where_nobody_asked_for_less() -> None:
    assert accepted_reduction(order(resolution="exact"), header(3000, 2500)) == 1
    assert FilmOrder.model_validate(order().model_dump(exclude={"resolution"})).resolution == "exact"


def test_films_of_oblong_pixels_are_decoded_exactly() -> None:
    assert accepted_reduction(order(), header(3000, 2500, pixel_aspect=1.2)) == 1


def opened(payload: bytes, resolution: DecodeResolution) -> OpenedFilm:
    with tempfile.TemporaryFile() as file:
        file.write(payload)
        file.flush()
        return open_film(order(payload, side=128, resolution=resolution), os.dup(file.fileno()))


@pytest.mark.parametrize(
    "payload",
    [
        films.dicom_film(rows=1536, columns=1300, transfer_syntax=films.JPEG_2000_LOSSLESS),
        films.dicom_film(rows=1536, columns=1300, transfer_syntax=films.JPEG_2000),
        films.dicom_film(films.phantom_pixels(rows=1536, columns=1300, bits=8), transfer_syntax=films.JPEG_BASELINE),
        films.jpeg_film(rows=1024, columns=1024),
    ],
    ids=["JPEG 2000 lossless", "JPEG 2000", "JPEG in DICOM", "JPEG"],
)
def test_film_at_preview_resolution_looks_like_the_exact_one(payload: bytes) -> None:
    exact, reduced = opened(payload, "exact"), opened(payload, "preview")
    assert exact.tensor is not None
    assert reduced.tensor is not None
    assert exact.preview is not None
    assert reduced.preview is not None
    assert reduced.preview.shape == exact.preview.shape
    assert np.abs(reduced.tensor.astype(int) - exact.tensor).mean() < 3
    assert np.abs(reduced.preview.astype(int) - exact.preview).mean() < 5
    assert not np.array_equal(reduced.tensor, exact.tensor), "nothing was reduced"
