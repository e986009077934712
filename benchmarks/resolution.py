"""What ``CXR_WORKER_DECODE_RESOLUTION=preview`` changes: the tensor, the score, and the time to decode.

``python -m benchmarks.resolution`` writes ``runs/bench/resolution.json``. The bundle that ships scores each film twice.
Generated films, and where they are at hand real ones of ``shared/data``: those that a child would decode smaller, and
NIH films, enlarged to twice their size and their grain, at a half: then they have four times the tensor's side, the
coarsest that a child takes.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray
from rich.progress import track

from benchmarks.family import run_part
from benchmarks.films import plate_as, radiograph, screen_jpeg
from benchmarks.machine import machine_facts
from benchmarks.results import Row, part_options, write_part
from model.bundle import read_bundle
from model.decoding.decode import decode
from model.decoding.header import Header
from model.decoding.inspect import inspect_header
from model.errors import ImageError
from model.gate import GateSpec, gate_header
from model.image import Tensor
from model.preprocessing import PreprocessingSpec, preprocess
from model.runtime import Provider, Scorer
from services.jobs.records import Claims
from services.worker.bundles import default_bundle_directory
from services.worker.decoding.messages import FilmOrder
from services.worker.decoding.resolution import accepted_reduction
from tests.support import films
from tests.support.shared_data import shared_data_or_none

_FILMS, _QUICK_FILMS = 8, 2
_ROWS, _COLUMNS = 3000, 2500
_REAL: Final = "real JPEG 2000"
# Every so manyth of 1,380 NIH films.
_EVERY, _QUICK_EVERY = 5, 40
_NIH_REDUCTION: Final = 2
# NIH films of ``shared/data`` have 512 pixels a side; grain in levels of 255, of which enlarging has left none.
_ENLARGED: Final = 2
_GRAIN: Final = 2.0


@dataclass(frozen=True, kw_only=True)
class Difference:
    """One film, decoded whole and at ``1 / reduction`` of each side; gray levels of 255, milliseconds of processor."""

    group: str
    reduction: int
    largest_levels: float
    mean_levels: float
    probability: float
    probability_change: float
    exact_ms: float
    reduced_ms: float

    def is_decided_otherwise(self, threshold: float) -> bool:
        """Whether the change of score carries it over the threshold."""
        return (self.probability >= threshold) != (self.probability + self.probability_change >= threshold)


@dataclass(frozen=True, kw_only=True)
class BenchFilm:
    """A film; ``reduction`` where it is not what a child would choose."""

    group: str
    payload: bytes
    reduction: int | None = None


def every_film(*, is_quick: bool) -> Iterator[BenchFilm]:
    """Yield what is compared."""
    for group, payload in groups(_QUICK_FILMS if is_quick else _FILMS):
        yield BenchFilm(group=group, payload=payload)
    folder = shared_data_or_none("nih", "images")
    paths = sorted(folder.glob("*.jpg")) if folder is not None else []
    for path in paths[:: _QUICK_EVERY if is_quick else _EVERY]:
        pixels = _enlarged(path.read_bytes())
        yield BenchFilm(group="NIH JPEG", payload=films.jpeg_film(pixels), reduction=_NIH_REDUCTION)
        for name, syntax in (("JPEG 2000", films.JPEG_2000_LOSSLESS), ("JPEG 2000 lossy", films.JPEG_2000)):
            coded = films.dicom_film(pixels, transfer_syntax=syntax)
            yield BenchFilm(group=f"NIH {name}", payload=coded, reduction=_NIH_REDUCTION)


def _enlarged(payload: bytes) -> NDArray[np.uint8]:
    pixels: NDArray[np.uint8] = np.ascontiguousarray(decode(payload, inspect_header(payload)).pixels, np.uint8)
    larger = cv2.resize(pixels, None, fx=_ENLARGED, fy=_ENLARGED, interpolation=cv2.INTER_CUBIC)
    grain = np.random.default_rng(0).normal(0, _GRAIN, larger.shape)
    return np.asarray(np.clip(np.rint(larger + grain), 0, 255), dtype=np.uint8)


def groups(count: int) -> Iterator[tuple[str, bytes]]:
    """Yield each generated film's group and payload, and the real ones'."""
    for seed in range(count):
        plate = radiograph(seed, rows=_ROWS, columns=_COLUMNS)
        yield "JPEG 2000", plate_as(plate, films.JPEG_2000_LOSSLESS)
        yield "JPEG 2000 lossy", plate_as(plate, films.JPEG_2000)
        yield "JPEG 1024", screen_jpeg(seed)
    folder = shared_data_or_none("dicom", "chest_radiograph")
    for path in sorted(folder.rglob("*.dcm")) if folder is not None else ():
        payload = path.read_bytes()
        if _may_be_judged(payload):
            yield _REAL, payload


def _may_be_judged(payload: bytes) -> bool:
    try:
        gate_header(inspect_header(payload), GateSpec())
    except ImageError:
        return False
    return True


def compare(film: BenchFilm, scorer: Scorer) -> Difference | None:
    """Return what a film's smaller decoding changes, ``None`` where a child would decode it whole all the same."""
    payload, spec = film.payload, scorer.manifest.preprocessing
    header = inspect_header(payload)
    reduction = film.reduction or _reduction_of_a_child(len(payload), header, spec)
    if reduction == 1:
        return None
    exact, exact_ms = _tensor(payload, header, spec, 1)
    reduced, reduced_ms = _tensor(payload, header, spec, reduction)
    apart = np.abs(exact.astype(np.int16) - reduced.astype(np.int16))
    whole, smaller = (score.probability for score in scorer.score(np.stack([exact, reduced])))
    return Difference(
        group=film.group,
        reduction=reduction,
        largest_levels=float(apart.max()),
        mean_levels=float(apart.mean()),
        probability=whole,
        probability_change=smaller - whole,
        exact_ms=exact_ms,
        reduced_ms=reduced_ms,
    )


def _reduction_of_a_child(payload_bytes: int, header: Header, spec: PreprocessingSpec) -> int:
    order = FilmOrder(
        payload_bytes=payload_bytes,
        sha256="",
        claims=Claims(),
        gate=GateSpec(),
        preprocessing=spec,
        resolution="preview",
    )
    return accepted_reduction(order, header)


def _tensor(payload: bytes, header: Header, spec: PreprocessingSpec, reduction: int) -> tuple[Tensor, float]:
    started = time.process_time_ns()
    tensor = preprocess(decode(payload, header, reduction=reduction), spec)
    return tensor, (time.process_time_ns() - started) / 1e6


def rows_of(differences: Sequence[Difference], threshold: float) -> list[Row]:
    """Return for each group how far the score moves at most, how many decisions change, and how much faster it is."""
    rows = []
    for group in dict.fromkeys(one.group for one in differences):
        found = [one for one in differences if one.group == group]
        moved = [abs(one.probability_change) for one in found]
        levels = max(one.largest_levels for one in found)
        changed = sum(one.is_decided_otherwise(threshold) for one in found)
        note = (
            f"{len(found)} films at 1/{found[0].reduction} of each side; mean {statistics.fmean(moved):.4f}; "
            f"{changed} decisions at threshold {threshold:.3f}; the tensor by {levels:.0f} of 255 levels at most"
        )
        name = f"{group} at preview resolution"
        rows.append(Row.told(f"{name}, largest change of score", measured=max(moved), unit="", note=note))
        exact_ms, reduced_ms = (
            statistics.median(getattr(one, which) for one in found) for which in ("exact_ms", "reduced_ms")
        )
        spent = f"{exact_ms:.1f} ms whole, {reduced_ms:.1f} ms smaller"
        rows.append(Row.told(f"{name}, faster than whole", measured=exact_ms / reduced_ms, unit="x", note=spent))
    return rows


def main() -> None:
    """Compare every film and write the part."""
    options = part_options(__doc__)
    started = machine_facts()
    scorer = Scorer(read_bundle(default_bundle_directory()), provider=Provider.CPU, threads=1)
    every = list(every_film(is_quick=options.is_quick))
    compared = [compare(film, scorer) for film in track(every, description="resolution")]
    differences = [one for one in compared if one is not None]
    data = {"films": [asdict(one) for one in differences], "decoded_whole": len(compared) - len(differences)}
    write_part(
        "resolution",
        rows_of(differences, scorer.manifest.operating_point().threshold),
        data,
        started=started,
        options=options,
    )


if __name__ == "__main__":
    run_part(main)
