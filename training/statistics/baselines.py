"""What a score has to beat to mean anything: the view alone, and edges with a linear classifier.

A network that does not beat HOG + logistic regression has learned nothing that deserves a GPU (ML.md §E).
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedGroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from model.image import Tensor
from training.statistics.metrics import Floats, Labels

Features: TypeAlias = NDArray[np.float32]

_ORIENTATIONS = 9
_GRID = 8
_WORKING_SIZE = 128
_FOLDS = 3
# With 1e-3 as the neighbour of 1e-4 some folds choose too small a one: .766 in place of .773 on the films of data/nih.
_PENALTIES = (1e-4, 3e-4, 1e-3, 3e-3)
# Enough for a linear classifier; all of ChestX-ray14 would take hours for the same answer.
HOG_TRAINING_FILMS = 5000


def view_scores(train_views: NDArray[np.str_], train_labels: Labels, views: NDArray[np.str_]) -> Floats:
    """Score each film by the share of unhealthy films among training films of its view; unseen views get the mean."""
    shares = {view: float(train_labels[train_views == view].mean()) for view in np.unique(train_views)}
    overall = float(train_labels.mean())
    return np.array([shares.get(view, overall) for view in views.tolist()], dtype=np.float64)


def hog_features(batches: Iterable[Tensor]) -> Features:
    """Return histograms of oriented gradients ``(n, 1764)`` of batches of films ``(b, 1, s, s)`` uint8.

    Nine unsigned orientations on a grid of 8 x 8 cells, normalised over overlapping blocks of 2 x 2 cells (Dalal and
    Triggs, CVPR 2005). Films above 128 px are first averaged down to about that size.
    """
    return np.stack([_hog(tensor[0]) for tensors in batches for tensor in tensors])


def hog_scores(train: Features, train_labels: Labels, train_patients: NDArray[np.str_], test: Features) -> Floats:
    """Fit logistic regression on features of training films, penalty by patient-wise cross-validation; score ``test``.

    More than ``HOG_TRAINING_FILMS`` films are not worth their time.
    """
    search = GridSearchCV(
        make_pipeline(StandardScaler(), LogisticRegression(max_iter=300)),
        {"logisticregression__C": _PENALTIES},
        scoring="roc_auc",
        cv=StratifiedGroupKFold(_FOLDS),
    )
    with warnings.catch_warnings():
        # An unfinished descent is as good a baseline as a finished one.
        warnings.simplefilter("ignore", ConvergenceWarning)
        search.fit(train, train_labels, groups=train_patients)
    return np.asarray(search.predict_proba(test)[:, 1], dtype=np.float64)


def _hog(film: NDArray[np.uint8]) -> NDArray[np.float32]:
    factor = max(1, len(film) // _WORKING_SIZE)
    side = len(film) // factor
    pixels = film[: side * factor, : side * factor].astype(np.float32)
    pixels = pixels.reshape(side, factor, side, factor).mean(axis=(1, 3))
    vertical, horizontal = np.gradient(pixels)
    strength = np.hypot(vertical, horizontal)
    orientation = (np.arctan2(vertical, horizontal) % np.pi) / np.pi * _ORIENTATIONS
    cell = side // _GRID
    index = np.minimum(np.arange(side) // cell, _GRID - 1)
    bins = (index[:, None] * _GRID + index[None, :]) * _ORIENTATIONS + orientation.astype(int) % _ORIENTATIONS
    counts = np.bincount(bins.ravel(), weights=strength.ravel(), minlength=_GRID * _GRID * _ORIENTATIONS)
    cells = counts.reshape(_GRID, _GRID, _ORIENTATIONS)
    blocks = np.concatenate([cells[:-1, :-1], cells[:-1, 1:], cells[1:, :-1], cells[1:, 1:]], axis=2)
    normalised = blocks / (np.linalg.norm(blocks, axis=2, keepdims=True) + 1e-6)
    return np.asarray(normalised.ravel(), dtype=np.float32)
