"""What a bundle scores here, as JSON: ``python -m tests.support.openvino_probe BUNDLE [PROVIDER PRECISION]...``.

Runs where another build of onnxruntime is installed; asks ``model.runtime`` and nothing else.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from model.bundle import Bundle, read_bundle
from model.errors import ModelError
from model.runtime import Precision, Provider, Scorer


def _scored(bundle: Bundle, provider: str, precision: str) -> dict[str, Any]:
    try:
        scorer = Scorer(bundle, provider=Provider(provider), precision=Precision(precision))
        scorer.verify_golden()
    except ModelError as error:
        return {"refused": error.code, "said": str(error)}
    scores = scorer.score(bundle.golden_tensors)
    return {
        "provider": scorer.provider,
        "precision": scorer.precision,
        "probabilities": [score.probability for score in scores],
    }


def main() -> None:
    """Print a list of answers, one for each pair."""
    directory, *pairs = sys.argv[1:]
    bundle = read_bundle(Path(directory))
    print(json.dumps([_scored(bundle, *pair) for pair in zip(pairs[::2], pairs[1::2], strict=True)]))


if __name__ == "__main__":
    main()
