"""Small collections of drawn films with tables as NIH publishes them. Deterministic, nothing real."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from model.phantom import chest_phantom
from tests.support.films import png_film

# The header of the 2020 revision, which is the one that most downloads hold.
COLUMNS = (
    "Image Index",
    "Finding Labels",
    "Follow-up #",
    "Patient ID",
    "Patient Age",
    "Patient Gender",
    "View Position",
    "OriginalImage[Width,Height]",
    "OriginalImagePixelSpacing[x,y]",
)


def row(image: str, findings: str, patient: int, *, view: str = "PA", age: str = "58", sex: str = "F") -> list[str]:
    """Return one row of the table."""
    return [image, findings, "0", str(patient), age, sex, view, "2500,2048", "0.171,0.171"]


def write_table(path: Path, rows: Iterable[list[str]], columns: Iterable[str] = COLUMNS) -> None:
    """Write rows as the official CSV."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(rows)


def write_collection(
    directory: Path,
    *,
    patients: int,
    films_per_patient: int = 2,
    pixels: int = 96,
    folder: Callable[[int], str] = lambda patient: "images",
) -> Path:
    """Write films and table: odd patients are unhealthy and carry a bright shadow, every third was filmed AP."""
    rows = []
    for patient in range(patients):
        is_unhealthy = patient % 2 == 1
        place = directory / folder(patient)
        place.mkdir(parents=True, exist_ok=True)
        for number in range(films_per_patient):
            name = f"{patient:08d}_{number:03d}.png"
            drawn = chest_phantom(patient * 31 + number, rows=pixels, columns=pixels, opacity=float(is_unhealthy))
            (place / name).write_bytes(png_film(np.rint(drawn * 255).astype(np.uint8)))
            rows.append(row(name, "Mass|Nodule" if is_unhealthy else "No Finding", patient, view=_view(patient)))
    write_table(directory / "Data_Entry_2017_v2020.csv", rows)
    return directory


def _view(patient: int) -> str:
    return "AP" if patient % 3 == 0 else "PA"
