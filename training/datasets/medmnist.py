"""MedMNIST ``.npz`` files, 28 to 224 px: PneumoniaMNIST, the 14-label ChestMNIST, and others of their form.

Labels lie in ``{train,val,test}_labels``: ``(n, 1)`` holds a class number, ``(n, k)`` a 0 or 1 for each finding. The
file names no patients. Source of the label names: Yang et al., Scientific Data 10, 41 (2023), https://medmnist.com.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from training.datasets.collection import PATIENTS_UNKNOWN, Collection, Notice, fingerprint
from training.datasets.film_arrays import IMAGE_ARRAYS, array_checksums, array_lengths
from training.datasets.nih import FINDINGS
from training.datasets.sample import Sample
from training.errors import DatasetError
from training.recipe import DataRecipe

_LABEL_ARRAYS: Final = ("train_labels", "val_labels", "test_labels")
_PARTS: Final = ("train", "select", "test")
# Names by how the file's name begins; ChestMNIST stems from ChestX-ray14 and its findings are spelt as there.
_NAMES: Final = {"pneumoniamnist": ("Normal", "Pneumonia"), "chestmnist": FINDINGS}
_NO_PATIENTS: Final = Notice(
    kind=PATIENTS_UNKNOWN,
    text="the file names no patients: every film counts as a patient of its own, and films of one patient may lie on "
    "both sides of the split, unseen; figures may flatter",
)


def read_medmnist(directory: Path, recipe: DataRecipe) -> Collection:
    """Read the only ``.npz`` file of ``directory`` (or ``directory`` itself, where it is the file).

    Train, val and test arrays are the official parts train, select and test. In a file with one class a film
    ``data.healthy`` must name a class; with a column a finding, a row of zeros is healthy.

    Raises
    ------
    DatasetError
        If there is not one such file, arrays are missing or do not fit together, or no class is healthy.
    """
    path = _find_archive(directory)
    lengths = array_lengths(path)
    labels = _read_labels(path, lengths)
    columns = labels[0].shape[1]
    names = _names(path, columns if columns > 1 else int(max(part.max(initial=0) for part in labels)) + 1)
    if columns == 1 and not set(recipe.healthy) & set(names):
        raise DatasetError(
            f"data.healthy ({', '.join(recipe.healthy)}) names none of the classes of {path}: {', '.join(names)}"
        )
    samples: list[Sample] = []
    for array, part, values in zip(IMAGE_ARRAYS, _PARTS, labels, strict=True):
        for number, row in enumerate(values):
            film = f"{array.removesuffix('_images')}/{number:06d}"
            samples.append(
                Sample(
                    id=film,
                    path=path.relative_to(directory),
                    patient=film,
                    findings=_findings(row, names, recipe.healthy),
                    official_part=part,
                    frame=len(samples),
                )
            )
    return Collection(
        samples=tuple(samples),
        fingerprint=fingerprint(directory, samples, source=array_checksums(path)),
        remarks=(_NO_PATIENTS,),
    )


def _find_archive(directory: Path) -> Path:
    archives = sorted(directory.glob("*.npz"))
    if len(archives) != 1:
        found = ", ".join(archive.name for archive in archives) or "none"
        raise DatasetError(f"{directory} must hold one .npz file, found: {found}")
    return archives[0]


def _read_labels(path: Path, lengths: Iterable[int]) -> list[NDArray[Any]]:
    try:
        with np.load(path, allow_pickle=False) as archive:
            labels = [archive[name] for name in _LABEL_ARRAYS]
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise DatasetError(
            f"{path} cannot be read as an .npz archive with {', '.join(_LABEL_ARRAYS)}: {error}"
        ) from error
    for name, values, length in zip(_LABEL_ARRAYS, labels, lengths, strict=True):
        is_sound = values.ndim == 2 and np.issubdtype(values.dtype, np.integer) and len(values) == length
        if not is_sound or values.shape[1] != labels[0].shape[1]:
            raise DatasetError(f"{path}: {name} is {values.dtype} {values.shape}, expected integers ({length}, labels)")
        if values.size and (values.min() < 0 or (values.shape[1] > 1 and values.max() > 1)):
            raise DatasetError(f"{path}: {name} holds values that are neither class numbers nor 0 or 1")
    return labels


def _names(path: Path, count: int) -> tuple[str, ...]:
    for beginning, names in _NAMES.items():
        if path.name.lower().startswith(beginning) and len(names) == count:
            return names
    return tuple(f"class_{number}" for number in range(count))


def _findings(row: NDArray[Any], names: tuple[str, ...], healthy: tuple[str, ...]) -> tuple[str, ...]:
    if len(row) == 1:
        name = names[int(row[0])]
        return () if name in healthy else (name,)
    return tuple(name for name, value in zip(names, row, strict=True) if value)
