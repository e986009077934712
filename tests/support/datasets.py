"""Small collections of drawn films with tables as NIH publishes them. Deterministic, nothing real."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.phantom import chest_phantom
from tests.support.films import png_film
from training.recipe import DataRecipe

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


def data_recipe(**values: Any) -> DataRecipe:
    """Return the section ``data`` of a recipe, shares included, with ``values`` in it."""
    return DataRecipe.model_validate({"train": 0.5, "select": 0.15, "calibrate": 0.15, "test": 0.2, **values})


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


def phantom_frames(count: int, *, pixels: int = 28, first: int = 0) -> NDArray[np.uint8]:
    """Return drawn films ``(count, pixels, pixels)``; odd ones carry a shadow."""
    drawn = [
        chest_phantom(number, rows=pixels, columns=pixels, opacity=float(number % 2))
        for number in range(first, first + count)
    ]
    return np.rint(np.stack(drawn) * 255).astype(np.uint8)


def write_archive(
    path: Path, labels: dict[str, NDArray[Any]], *, pixels: int = 28, **replaced: NDArray[Any] | None
) -> Path:
    """Write a MedMNIST archive with the labels of ``train``, ``val`` and ``test``; ``replaced`` arrays win or go."""
    arrays: dict[str, NDArray[Any] | None] = {}
    first = 0
    for part, values in labels.items():
        arrays[f"{part}_images"] = phantom_frames(len(values), pixels=pixels, first=first)
        arrays[f"{part}_labels"] = values
        first += len(values)
    arrays |= replaced
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(path, **{name: values for name, values in arrays.items() if values is not None})
    return path


def _view(patient: int) -> str:
    return "AP" if patient % 3 == 0 else "PA"
