"""Scores ready tensors in one provider and precision; ``precision`` starts it where the right onnxruntime is installed.

``python -m benchmarks.precision_scores BUNDLE TENSORS ANSWER PROVIDER PRECISION BATCH``.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from model.bundle import read_bundle
from model.runtime import Precision, Provider, Scorer


def main() -> None:
    """Write the probabilities ``(n,)`` float64 of tensors ``(n, 1, s, s)``."""
    bundle, tensors, answer, provider, precision, batch = sys.argv[1:]
    scorer = Scorer(read_bundle(Path(bundle)), provider=Provider(provider), precision=Precision(precision))
    scorer.verify_golden()
    films, step = np.load(tensors), int(batch)
    blocks = [scorer.score(films[start : start + step]) for start in range(0, len(films), step)]
    np.save(answer, np.array([score.probability for block in blocks for score in block]))


if __name__ == "__main__":
    main()
