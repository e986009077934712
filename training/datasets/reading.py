"""One door to every form of collection: ``data.reader`` of the recipe names the reader."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from training.datasets.class_folders import read_folders
from training.datasets.collection import Collection, require_sound
from training.datasets.dicom_folder import read_dicom_folder
from training.datasets.labelled_table import read_labelled_table
from training.datasets.medmnist import read_medmnist
from training.datasets.nih import read_nih
from training.errors import DatasetError
from training.recipe import DataRecipe

_READERS: Final[Mapping[str, Callable[[Path, DataRecipe], Collection]]] = {
    "nih": read_nih,
    "medmnist": read_medmnist,
    "folders": read_folders,
    "csv": read_labelled_table,
    "dicom": read_dicom_folder,
}


def read_collection(directory: Path, recipe: DataRecipe) -> Collection:
    """Read labelled films, and stand for it that nothing in them must be mended.

    Raises
    ------
    DatasetError
        As ``survey_collection``, and with the first fault of the collection: films missing, a label not understood, a
        film listed twice. The message names file, line or column.
    """
    return require_sound(survey_collection(directory, recipe))


def survey_collection(directory: Path, recipe: DataRecipe) -> Collection:
    """Read labelled films, faults and all: what can be read is in ``samples``, what cannot in ``faults``.

    Raises
    ------
    DatasetError
        If the directory or its table is absent or not one, or columns are missing: there is nothing to survey.
    """
    if not directory.is_dir():
        raise DatasetError(f"{directory} is not a directory")
    return _READERS[recipe.reader](directory, recipe)
