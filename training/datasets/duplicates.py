"""Finds films that are in a collection twice, by their pixels at 64 px. Knows tensors, no labels and no files.

Exact: equal sha256 of the tensor. Near: a perceptual hash, whose hits are candidates for a person to look at.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from model.image import Tensor

DUPLICATE_PIXELS: Final = 64
# Of 255 bits. Measured on 1,380 NIH films of 512 px and 4,999 films of 224 px, 140 of which are NIH films that were
# resampled and compressed again: of all 20 million pairs 160 lie within 14 bits: 138 of those 140, and 22 others whose
# pixels correlate at .99 or more. Within 26 bits there is one more of each kind and three weaker ones.
NEAR_BITS: Final = 14
METHOD: Final = (
    f"exact: equal sha256 of the film's {DUPLICATE_PIXELS} px tensor; near: DCT hash of 255 bits differs in at most "
    f"{NEAR_BITS} (candidates, to be looked at)"
)
_SHRUNK: Final = 32
_FREQUENCIES: Final = 16


def pixel_digest(tensor: Tensor) -> bytes:
    """Return the sha256 of a tensor's bytes."""
    return hashlib.sha256(tensor.tobytes()).digest()


def perceptual_hash(tensor: Tensor) -> NDArray[np.uint64]:
    """Return the hash of a film ``(1, 64, 64)`` as four words: which low frequencies are stronger than the median one.

    255 of 16 x 16 coefficients of the cosine transform of the film at 32 px, all but the mean. Source: Zauner,
    "Implementation and Benchmarking of Perceptual Image Hash Functions", 2010. The 64 bits of that source tell
    chest films apart badly: at 4 bits 387 pairs were candidates where 160 are.
    """
    film = cv2.resize(tensor[0], (_SHRUNK, _SHRUNK), interpolation=cv2.INTER_AREA).astype(np.float32)
    strengths = np.asarray(cv2.dct(film))[:_FREQUENCIES, :_FREQUENCIES].ravel()[1:]
    bits = np.append(strengths > np.median(strengths), False)
    return np.packbits(bits).view(np.uint64)


def near_pairs(hashes: NDArray[np.uint64]) -> Iterator[list[tuple[int, int]]]:
    """Yield for each row of ``hashes`` ``(n, 4)`` its pairs ``(row, later row)`` that differ in at most ``NEAR_BITS``.

    Every pair is compared: quadratic. 6,379 films took .09 s on one core, which makes half a minute for 112,120.
    """
    first = np.ascontiguousarray(hashes[:, 0])
    for row in range(len(hashes)):
        # One word settles most pairs; what it leaves is compared in full.
        likely = row + 1 + np.flatnonzero(np.bitwise_count(first[row + 1 :] ^ first[row]) <= NEAR_BITS)
        distances = np.bitwise_count(hashes[likely] ^ hashes[row]).sum(axis=1)
        yield [(row, int(other)) for other in likely[distances <= NEAR_BITS]]
