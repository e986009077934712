"""Part (b): what the network alone can do on this machine, by provider, precision and size, on ready tensors.

No service can be faster than this row; the ceiling of every end-to-end figure follows from it. Networks are generated
ResNet50 at 224 and 512, and the bundle that ships. int8 of random weights says how fast int8 is, nothing else.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.progress import track

from benchmarks.environments import EnvironmentUnavailable, own_environment, versions_in
from benchmarks.family import run_part
from benchmarks.machine import machine_facts
from benchmarks.resnet50 import resnet50_bundle
from benchmarks.results import PartOptions, Row, part_options, write_part
from benchmarks.scorer_speed import CannotScore, ScorerSpeed, scorer_speed
from services.worker.bundles import default_bundle_directory

_SIZES: Final = (224, 512)
_BATCHES: Final = (1, 4, 8)
_QUICK_BATCHES: Final = (1, 4)
_SECONDS: Final = 3.0
_QUICK_SECONDS: Final = 1.5
# PERFORMANCE.md, goals: 108 and 200 films a second beside 55.6 in fp32 at 224; 21 and 41 beside 10.5 at 512.
_BF16_GAIN: Final = {224: 1.94, 512: 2.0}
_INT8_GAIN: Final = {224: 3.6, 512: 3.9}
_BF16_DISTANCE: Final = 0.01
_OPENVINO_PACKAGES: Final = ("onnxruntime-openvino", "openvino")


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One measurement to make."""

    network: str
    bundle: Path
    provider: str
    precision: str
    threads: int
    needs_openvino: bool = False

    @property
    def label(self) -> str:
        """How tables and plots name it."""
        return f"{self.provider} {self.precision}"


def cells(options: PartOptions) -> Iterator[Cell]:
    """Yield what is measured, on all cores."""
    kept, threads = options.directory, len(os.sched_getaffinity(0))
    for size in _SIZES[:1] if options.is_quick else _SIZES:
        plain, int8 = resnet50_bundle(kept, size), resnet50_bundle(kept, size, "int8")
        yield _cell(size, plain, "cpu", "fp32", threads)
        yield _cell(size, int8, "cpu", "int8", threads)
        if not options.is_quick:
            yield _cell(size, plain, "openvino", "fp32", threads)
        yield _cell(size, plain, "openvino", "bf16", threads)
        yield _cell(size, int8, "openvino", "int8", threads)
    shipped = default_bundle_directory()
    yield Cell(network="shipped", bundle=shipped, provider="cpu", precision="fp32", threads=threads)


def _cell(size: int, bundle: Path, provider: str, precision: str, threads: int) -> Cell:
    needs = provider == "openvino"
    network = f"ResNet50 {size}"
    return Cell(
        network=network, bundle=bundle, provider=provider, precision=precision, threads=threads, needs_openvino=needs
    )


def measured(options: PartOptions) -> tuple[dict[Cell, ScorerSpeed], dict[Cell, str], dict[str, str]]:
    """Return what was measured, why the rest was not, and the versions of the other environment."""
    found, missing = dict[Cell, ScorerSpeed](), dict[Cell, str]()
    openvino, versions, why = None, dict[str, str](), ""
    try:
        openvino = own_environment("openvino", directory=options.directory)
        versions = versions_in(openvino, _OPENVINO_PACKAGES)
    except EnvironmentUnavailable as error:
        why = str(error)
    batches, seconds = (_QUICK_BATCHES, _QUICK_SECONDS) if options.is_quick else (_BATCHES, _SECONDS)
    console = Console(stderr=True)
    for cell in track(list(cells(options)), "model limit", console=console, transient=True):
        python = openvino if cell.needs_openvino else Path(sys.executable)
        if python is None:
            missing[cell] = why
            continue
        try:
            found[cell] = scorer_speed(
                cell.bundle,
                provider=cell.provider,
                # An int8 bundle is computed as it is; int8 cannot be asked for.
                precision="auto" if cell.precision == "int8" else cell.precision,
                threads=cell.threads,
                batches=batches,
                seconds=seconds,
                python=python,
            )
        except CannotScore as error:
            missing[cell] = str(error)
    return found, missing, versions


def rows(found: Mapping[Cell, ScorerSpeed], missing: Mapping[Cell, str]) -> list[Row]:
    """Return the figures on all cores: fp32 as it is, other precisions against it."""
    cores = max(cell.threads for cell in (*found, *missing))
    tried = {cell.network for cell in (*found, *missing)}
    sizes = {f"ResNet50 {size}": size for size in _SIZES}
    said = [
        row
        for network, size in sizes.items()
        if network in tried
        for row in _rows_of(network, size, cores, found, missing)
    ]
    for cell, speed in found.items():
        if cell.network == "shipped" and cell.threads == cores:
            said.append(Row.told(f"{cell.network} bundle, {cell.label}", measured=speed.best, unit="films/s"))
    return said


def _rows_of(
    network: str, size: int, cores: int, found: Mapping[Cell, ScorerSpeed], missing: Mapping[Cell, str]
) -> Iterator[Row]:
    ours = {cell.label: speed for cell, speed in found.items() if (cell.network, cell.threads) == (network, cores)}
    why = {cell.label: reason for cell, reason in missing.items() if (cell.network, cell.threads) == (network, cores)}
    plain = ours.get("cpu fp32")
    if plain is None:
        yield Row.unmeasured(f"{network}, fp32", goal=None, unit="films/s", note=why.get("cpu fp32", ""))
        return
    note = f"{plain.cpu_ms:.1f} ms of processor time a film"
    yield Row.told(f"{network}, cpu fp32, {cores} cores", measured=plain.best, unit="films/s", note=note)
    for label, goal in (("openvino bf16", _BF16_GAIN[size]), ("openvino int8", _INT8_GAIN[size])):
        name = f"{network}, {label} against cpu fp32"
        if label in ours:
            note = (
                f"by processor time; {ours[label].best:.1f} films/s; the stretch of PERFORMANCE.md, for bf16 and VNNI"
            )
            yield Row.at_least(name, goal=goal, measured=plain.cpu_ms / ours[label].cpu_ms, unit="x", note=note)
        else:
            yield Row.unmeasured(name, goal=goal, unit="x", note=why.get(label, ""))
    if "cpu int8" in ours:
        gain, note = plain.cpu_ms / ours["cpu int8"].cpu_ms, f"by processor time; {ours['cpu int8'].best:.1f} films/s"
        yield Row.told(f"{network}, cpu int8 against cpu fp32", measured=gain, unit="x", note=note)
    if "openvino bf16" in ours:
        distance = _distance(ours["openvino bf16"], plain)
        name = f"{network}, bf16: largest change of a probability"
        yield Row.at_most(name, goal=_BF16_DISTANCE, measured=distance, unit="")


def _distance(other: ScorerSpeed, plain: ScorerSpeed) -> float:
    return max(abs(a - b) for a, b in zip(other.probabilities, plain.probabilities, strict=True))


def main() -> None:
    """Measure, print, write model_limit.json."""
    options, started = part_options(__doc__), machine_facts()
    found, missing, versions = measured(options)
    table = [{"network": cell.network, "label": cell.label, **asdict(speed)} for cell, speed in found.items()]
    left_out = [{"network": cell.network, "label": cell.label, "why": why} for cell, why in missing.items()]
    data = {"table": table, "left_out": left_out}
    write_part("model_limit", rows(found, missing), data, started=started, options=options, packages=versions)


if __name__ == "__main__":
    run_part(main)
