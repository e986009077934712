"""Frozen features of films. What this machine and an executor of Spark both do lives here, and nowhere else.

Knows networks and arrays; neither files, nor Spark, nor which machine it runs on.
"""

from __future__ import annotations

import hashlib

import numpy as np
import torch
from numpy.typing import NDArray

from model.image import Tensor
from training.datasets.sample import Part
from training.networks.network import TriageNetwork

# Films that the network sees together; their features do not depend on it beyond rounding.
BATCH_FILMS = 64
_DRAWS = 2.0**64


def extract(network: TriageNetwork, films: Tensor, mirrored: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return the features of prepared films by a frozen network.

    Parameters
    ----------
    network
        In evaluation mode, on the device that computes; its head has no part in this.
    films
        ``(b, 1, s, s)`` uint8, 0 black, as ``preprocess`` returns them.
    mirrored
        ``(b,)`` which of them are turned left to right first.

    Returns
    -------
    ndarray
        ``(b, width)`` float32.
    """
    turned = np.where(mirrored[:, None, None, None], films[..., ::-1], films)
    device = next(network.parameters()).device
    with torch.inference_mode():
        return network.features(torch.from_numpy(turned).to(device)).float().cpu().numpy()


def is_mirrored(film: str, part: Part, *, flip: float, seed: int) -> bool:
    """Return whether a film is mirrored before its features are taken: train films, with probability ``flip``.

    A hash of seed and film's id decides, so that every engine, and every repetition, mirrors the same films. Source:
    report 004, "For training set, random horizontal flip was applied to each image", once, at extraction.
    """
    drawn = int.from_bytes(hashlib.sha256(f"{seed} {film}".encode()).digest()[:8], "big")
    return part is Part.TRAIN and drawn < flip * _DRAWS
