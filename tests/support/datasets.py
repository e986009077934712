"""Small collections of drawn films with tables as NIH publishes them. Deterministic, nothing real."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.phantom import chest_phantom
from tests.support.films import png_film
from training.datasets.nih import FINDINGS
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


def mass_and_nodule(patient: int) -> Mapping[str, str]:
    """Return what the table says of every unhealthy patient unless a test asks for more."""
    return {"findings": "Mass|Nodule"}


def fourteen_findings(patient: int) -> Mapping[str, str]:
    """Return four findings of each unhealthy patient, all fourteen of them in turn, and an age and sex of their own."""
    turn = patient // 2
    chosen = [FINDINGS[(turn + offset) % len(FINDINGS)] for offset in (0, 3, 5, 9)]
    return {"findings": "|".join(chosen), "age": str(20 + patient % 60), "sex": "MF"[turn % 2]}


def shadow_of_the_unhealthy(patient: int) -> float:
    """Return how dense the shadow is that is drawn into a patient's films: always that of the label."""
    return float(patient % 2)


def shadow_in_doubt(patient: int) -> float:
    """Return the shadow that the label promises, but the other one for every ninth patient: no network can be right."""
    return float(patient % 2 != (patient % 9 == 0))


def write_collection(
    directory: Path,
    *,
    patients: int,
    films_per_patient: int = 2,
    pixels: int = 96,
    folder: Callable[[int], str] = lambda patient: "images",
    described: Callable[[int], Mapping[str, str]] = mass_and_nodule,
    shadow: Callable[[int], float] = shadow_of_the_unhealthy,
) -> Path:
    """Write films and table: odd patients are unhealthy and carry a bright shadow, every third was filmed AP.

    ``described`` says what else the table has of a patient; its findings count for the unhealthy ones. ``shadow`` says
    how dense a shadow is drawn, whatever the table says.
    """
    rows = []
    for patient in range(patients):
        is_unhealthy = patient % 2 == 1
        place = directory / folder(patient)
        place.mkdir(parents=True, exist_ok=True)
        for number in range(films_per_patient):
            name = f"{patient:08d}_{number:03d}.png"
            drawn = chest_phantom(patient * 31 + number, rows=pixels, columns=pixels, opacity=shadow(patient))
            (place / name).write_bytes(png_film(np.rint(drawn * 255).astype(np.uint8)))
            facts = {**described(patient), "view": _view(patient)}
            findings = facts.pop("findings")
            rows.append(row(name, findings if is_unhealthy else "No Finding", patient, **facts))
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
