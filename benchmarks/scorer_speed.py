"""One bundle, one provider, one precision, so many threads: how many films a second, in a process of its own.

``python -m benchmarks.scorer_speed BUNDLE --provider cpu --threads 2`` prints one JSON object. In a process of its own,
because threads and memory of an earlier session stay; and perhaps in another environment, because builds of onnxruntime
exclude each other.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from benchmarks.results import ROOT

if TYPE_CHECKING:
    from model.image import Tensor
    from model.runtime import Scorer

_WARM_UP_CALLS: Final = 2
_FEWEST_CALLS: Final = 5
_COMPARED_FILMS: Final = 16
_LONGEST_SECONDS: Final = 900.0


class CannotScore(Exception):
    """This provider or precision does not run here; says why."""


@dataclass(frozen=True, kw_only=True)
class Speed:
    """Medians at one batch size: films a second on the clock, and processor milliseconds a film."""

    batch: int
    per_second: float
    cpu_ms: float
    calls: int


@dataclass(frozen=True, kw_only=True)
class ScorerSpeed:
    """What one process measured. ``probabilities`` are those of the same drawings everywhere, to compare precisions."""

    bundle: str
    provider: str
    precision: str
    threads: int
    speeds: tuple[Speed, ...]
    probabilities: tuple[float, ...]

    @property
    def best(self) -> float:
        """Films a second at the best batch size."""
        return max(speed.per_second for speed in self.speeds)

    @property
    def cpu_ms(self) -> float:
        """Processor milliseconds a film at the best batch size: what other work on the machine spoils least."""
        return min(speed.cpu_ms for speed in self.speeds)


def scorer_speed(
    bundle: Path,
    *,
    provider: str = "cpu",
    precision: str = "fp32",
    threads: int,
    batches: Sequence[int],
    seconds: float,
    python: Path = Path(sys.executable),
) -> ScorerSpeed:
    """Measure in a process of its own, with ``seconds`` for each batch size.

    Raises
    ------
    CannotScore
        If the provider or the precision is not to be had.
    """
    options = ["--provider", provider, "--precision", precision, "--threads", str(threads), "--seconds", str(seconds)]
    options += ["--batches", ",".join(map(str, batches))]
    command = [str(python), "-m", "benchmarks.scorer_speed", str(bundle), *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=_LONGEST_SECONDS, check=False)
    if done.returncode:
        said = done.stderr.strip().splitlines()
        raise CannotScore(said[-1] if said else f"exit status {done.returncode}")
    told = json.loads(done.stdout.splitlines()[-1])
    speeds = tuple(Speed(**speed) for speed in told.pop("speeds"))
    return ScorerSpeed(speeds=speeds, probabilities=tuple(told.pop("probabilities")), **told)


def main() -> None:
    """Measure, and print what was found."""
    told = _options()
    # Imported here: the parent needs no onnxruntime.
    from model.bundle import read_bundle
    from model.runtime import Precision, Provider, Scorer
    from tests.support.bundles import golden_tensors

    bundle = read_bundle(told.bundle)
    scorer = Scorer(bundle, provider=Provider(told.provider), threads=told.threads, precision=Precision(told.precision))
    films = golden_tensors(bundle.manifest.preprocessing.size, _COMPARED_FILMS)
    found = ScorerSpeed(
        bundle=bundle.manifest.name,
        provider=scorer.provider,
        precision=scorer.precision,
        threads=told.threads,
        speeds=tuple(_speed(scorer, films, batch, told.seconds) for batch in told.batches),
        probabilities=tuple(scorer.score(films[number : number + 1])[0].probability for number in range(len(films))),
    )
    print(json.dumps(asdict(found)))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--provider", default="cpu")
    parser.add_argument("--precision", default="fp32")
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--batches", type=lambda text: [int(part) for part in text.split(",")], default=[1])
    parser.add_argument("--seconds", type=float, default=2.0)
    return parser.parse_args()


def _speed(scorer: Scorer, films: Tensor, batch: int, seconds: float) -> Speed:
    tensors = np.ascontiguousarray(films[np.arange(batch) % len(films)])
    for _ in range(_WARM_UP_CALLS):
        scorer.score(tensors)
    walls, cpus, ends = list[float](), list[float](), time.perf_counter() + seconds
    while time.perf_counter() < ends or len(walls) < _FEWEST_CALLS:
        wall, cpu = time.perf_counter(), time.process_time()
        scorer.score(tensors)
        walls.append(time.perf_counter() - wall)
        cpus.append(time.process_time() - cpu)
    cpu_ms = 1000 * float(np.median(cpus)) / batch
    return Speed(batch=batch, per_second=batch / float(np.median(walls)), cpu_ms=cpu_ms, calls=len(walls))


if __name__ == "__main__":
    main()
