"""Share of films that the shipped bundle's gate refuses: other body parts, odd files, chest films.

``python -m benchmarks.gate DATA`` with the folder that holds ``nih``, ``ood``, ``dicom``, ``hostile``, ``radiography``.
Chest films of ``nih`` are those of patients that the bundle's own recipe kept out of training, and so out of the gate's
fit. Behind the figures of ``docs/decisions/0008-gate.md``.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from rich.console import Console
from rich.progress import track
from rich.table import Table

import model
from model.bundle import REPORT_FILE, read_bundle
from tests.support.shipped_gate import NOT_CHEST, ShippedGate, enlarged
from training.datasets.reading import read_collection
from training.datasets.sample import Part
from training.datasets.split import split_samples
from training.recipe_files import parse_recipe


def unseen_films(bundle: Path, nih: Path) -> list[Path]:
    """Return the films of patients that neither the network nor the gate was fitted on."""
    report = json.loads((bundle / REPORT_FILE).read_text(encoding="utf-8"))
    recipe = parse_recipe(report["recipe"], source=REPORT_FILE)
    collection = read_collection(nih, recipe.data)
    parts = split_samples(collection.samples, recipe.data, recipe.seed)
    return [nih / sample.path for sample in collection.samples if parts[sample.id] is not Part.TRAIN]


def groups(bundle: Path, data: Path) -> Iterator[tuple[str, Iterable[bytes], int]]:
    """Yield each group's name, its payloads and how many they are."""
    for name in NOT_CHEST:
        films = sorted((data / "ood" / name).iterdir())
        yield f"ood {name}, at 512 px", (enlarged(path) for path in films), len(films)
    for folder in ("other_xray", "other_modality", "chest_radiograph"):
        files = sorted((data / "dicom" / folder).rglob("*.dcm"))
        yield f"dicom {folder}", (path.read_bytes() for path in files), len(files)
    files = [path for path in sorted((data / "hostile").rglob("*")) if path.is_file()]
    yield "hostile rasters", (path.read_bytes() for path in files), len(files)
    unseen = unseen_films(bundle, data / "nih")
    yield "chest, nih, unseen", (path.read_bytes() for path in unseen), len(unseen)
    yield "chest, nih, unseen, through 64 px", (enlarged(path, through=64) for path in unseen), len(unseen)
    films = sorted((data / "ood" / "CXR").iterdir())
    yield "chest, ood CXR, at 512 px", (enlarged(path) for path in films), len(films)
    for folder in ("normal", "covid"):
        films = sorted((data / "radiography" / folder).iterdir())[::4]
        yield f"chest, radiography {folder}, every fourth", (path.read_bytes() for path in films), len(films)


def main() -> None:
    """Print the table."""
    data, console = Path(sys.argv[1]), Console()
    bundle = next(iter(sorted((Path(model.__path__[0]) / "bundles").iterdir())))
    gate = ShippedGate(read_bundle(bundle))
    table = Table("films", "count", "refused", "share", "reasons", title=f"gate of {bundle.name}")
    for name, payloads, count in groups(bundle, data):
        tracked = track(payloads, total=count, description=name, disable=not console.is_terminal, transient=True)
        reasons = Counter(reason.value for reason in map(gate.refusal, tracked) if reason is not None)
        refused = sum(reasons.values())
        told = ", ".join(f"{reason} {times}" for reason, times in reasons.most_common(3))
        table.add_row(name, str(count), str(refused), f"{refused / count:.1%}", told)
    console.print(table)


if __name__ == "__main__":
    main()
