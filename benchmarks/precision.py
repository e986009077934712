"""What bf16 or fp16 does to decisions: ``python -m benchmarks.precision FILMS [--bundle DIR]``.

FILMS is a folder of films (DICOM, PNG, JPEG) as a site has them. Scores each in fp32 on the CPU and in every faster
precision that this machine has, and says how far probabilities move and which decisions change at each operating point.
Behind the table of docs/decisions/0019-precision.md.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.environments import EnvironmentUnavailable, own_environment
from benchmarks.results import RESULTS, ROOT
from model.bundle import Bundle, read_bundle
from model.decoding.decode import decode
from model.decoding.inspect import inspect_header
from model.errors import ImageError
from model.image import Tensor
from model.preprocessing import preprocess
from model.runtime import Precision, Provider, threshold_margin
from services.worker.bundles import default_bundle_directory

_BATCH: Final = 4


@dataclass(frozen=True, kw_only=True)
class Way:
    """A way to compute, and the python that can."""

    provider: Provider
    precision: Precision
    python: Path


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("films", type=Path)
    parser.add_argument("--bundle", type=Path, default=default_bundle_directory())
    parser.add_argument("--directory", type=Path, default=RESULTS, help="where the other environment is kept")
    told = parser.parse_args()
    told.directory.mkdir(parents=True, exist_ok=True)
    bundle, tensors = read_bundle(told.bundle), told.directory / "precision-tensors.npy"
    np.save(tensors, _tensors(told.films, bundle))
    here = Path(sys.executable)
    reference = _scored(Way(provider=Provider.CPU, precision=Precision.FP32, python=here), told.bundle, tensors)
    for way in _ways(here, told.directory):
        _show(way, bundle, reference, _scored(way, told.bundle, tensors))


def _tensors(films: Path, bundle: Bundle) -> Tensor:
    found, unread = [], 0
    paths = sorted(path for path in films.rglob("*") if path.is_file())
    for path in track(paths, "decoding", console=Console(stderr=True), transient=True):
        content = path.read_bytes()
        try:
            image = decode(content, inspect_header(content))
        except ImageError:
            unread += 1
            continue
        found.append(preprocess(image, bundle.manifest.preprocessing))
    Console().print(f"{len(found)} films of {films}; {unread} files are no films or cannot be read")
    return np.stack(found)


def _ways(here: Path, directory: Path) -> list[Way]:
    ways = []
    try:
        python = own_environment("openvino", directory=directory)
        ways.append(Way(provider=Provider.OPENVINO, precision=Precision.BF16, python=python))
    except EnvironmentUnavailable as error:
        Console(stderr=True).print(str(error))
    if "CUDAExecutionProvider" in ort.get_available_providers():
        ways.append(Way(provider=Provider.CUDA, precision=Precision.FP16, python=here))
    return ways


def _scored(way: Way, bundle: Path, tensors: Path) -> NDArray[np.float64]:
    """Return the probabilities ``(n,)`` as a process of that python computes them."""
    answer = tensors.with_suffix(f".{way.provider}-{way.precision}.npy")
    command = [str(way.python), "-m", "benchmarks.precision_scores", str(bundle), str(tensors), str(answer)]
    subprocess.run([*command, way.provider, way.precision, str(_BATCH)], cwd=ROOT, check=True)
    return np.load(answer)


def _show(way: Way, bundle: Bundle, expected: NDArray[np.float64], actual: NDArray[np.float64]) -> None:
    console, moved, margin = Console(), actual - expected, threshold_margin(way.precision)
    console.print(
        f"\n{way.provider} {way.precision} against cpu fp32: {moved.max():+.4f} up, {moved.min():+.4f} down at most, "
        f"{moved.mean():+.4f} on average"
    )
    table = Table("operating point", "threshold", "flagged", "lost", "gained", f"lowered by {margin:g}: lost", "gained")
    for point in bundle.manifest.operating_points:
        before = expected >= point.threshold
        cells = [
            str(count) for lowered in (0.0, margin) for count in _changed(before, actual, point.threshold - lowered)
        ]
        table.add_row(point.name, f"{point.threshold:.4f}", str(int(before.sum())), *cells)
    console.print(table)


def _changed(before: NDArray[np.bool_], actual: NDArray[np.float64], threshold: float) -> tuple[int, int]:
    """Return how many films are flagged no more, and how many are flagged now."""
    after = actual >= threshold
    return int((before & ~after).sum()), int((~before & after).sum())


if __name__ == "__main__":
    main()
