"""Damaged films: seeded mutations of whole ones, as disks, networks and attackers make them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Final

import numpy as np

from tests.support import films
from tests.support.films import dicom_film, jpeg_film, phantom_pixels, png_film

JUDGED: Final = (
    *(films.IMPLICIT, films.EXPLICIT, films.RLE, films.JPEG_BASELINE, films.JPEG_EXTENDED, films.JPEG_LOSSLESS),
    *(films.JPEG_LOSSLESS_SV1, films.JPEG_LS, films.JPEG_LS_LOSSY, films.JPEG_2000_LOSSLESS, films.JPEG_2000),
    *(films.HTJ2K_LOSSLESS, films.HTJ2K_LOSSLESS_RPCL, films.HTJ2K),
)
# Where lengths stand: what comes before them, how far behind its start, how many bytes they have.
_LENGTHS: Final = (
    (re.compile(rb"OB|OW|SQ|UN|UT", re.DOTALL), 4, 4),  # PS3.5 7.1.2, explicit with a long length
    (re.compile(rb"AS|CS|DA|DS|IS|LO|PN|UI|US", re.DOTALL), 2, 2),
    (re.compile(rb"\xfe\xff[\x00\x0d\xdd]\xe0|\xe0\x7f\x10\x00|\x28\x00[\x00-\x11]\x00", re.DOTALL), 4, 4),
    (re.compile(rb"IHDR|IDAT|IEND"), -4, 4),
    (re.compile(rb"\xff[\xc0-\xc7\xc9-\xcf\xda-\xfe]", re.DOTALL), 2, 2),
    (re.compile(rb"\xff[\x51\x52\x5c\x90]", re.DOTALL), 2, 4),  # SIZ, COD, QCD, SOT
)

Mutate = Callable[[bytes, np.random.Generator], bytes]


def seed_films() -> list[bytes]:
    """Return one whole film of every accepted kind, small and scored."""
    rasters = [png_film(rows=120, columns=100), png_film(phantom_pixels(1, rows=120, columns=100, bits=16))]
    dicoms = [dicom_film(seed=index, rows=160, columns=140, transfer_syntax=uid) for index, uid in enumerate(JUDGED)]
    return [*rasters, jpeg_film(rows=120, columns=100), *dicoms]


def flip(film: bytes, random: np.random.Generator) -> bytes:
    """Flip one to sixteen bits."""
    damaged = bytearray(film)
    for position in random.integers(len(film), size=random.integers(1, 17)):
        damaged[position] ^= 1 << random.integers(8)
    return bytes(damaged)


def truncate(film: bytes, random: np.random.Generator) -> bytes:
    """Keep the beginning."""
    return film[: random.integers(1, len(film))]


def splice(film: bytes, random: np.random.Generator) -> bytes:
    """Overwrite a piece with another piece of the film, or with noise."""
    size = int(random.integers(1, min(len(film), 4096)))
    source, target = random.integers(len(film) - size, size=2)
    piece = film[source : source + size] if random.integers(2) else random.bytes(size)
    return film[:target] + piece + film[target + size :]


def duplicate(film: bytes, random: np.random.Generator) -> bytes:
    """Repeat a piece where it stands."""
    size = int(random.integers(1, min(len(film), 4096)))
    start = int(random.integers(len(film) - size))
    return film[: start + size] + film[start:]


def overstate(film: bytes, random: np.random.Generator) -> bytes:
    """Set one length field to the largest value that it holds."""
    fields = [
        (match.start() + behind, width)
        for pattern, behind, width in _LENGTHS
        for match in list(pattern.finditer(film))[:64]
        if match.start() + behind >= 0
    ]
    # A film without structure has its beginning at least.
    position, width = fields[random.integers(len(fields))] if fields else (0, 4)
    return film[:position] + b"\xff" * width + film[position + width :]


MUTATIONS: Final[Sequence[Mutate]] = (flip, truncate, splice, duplicate, overstate)


def mutants(seeds: Sequence[bytes], count: int, *, seed: int) -> Iterator[bytes]:
    """Yield mutants of each film and by each mutation in turn; the same for the same seed."""
    random = np.random.default_rng(seed)
    for number in range(count):
        film = seeds[number % len(seeds)]
        mutate = MUTATIONS[(number // len(seeds)) % len(MUTATIONS)]
        yield mutate(film, random)
