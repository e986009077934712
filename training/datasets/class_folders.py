"""Films sorted into folders by class, as most small collections come: ``normal/…``, ``pneumonia/…``.

The first folder of a path is the class; where all first folders are parts (``train/NORMAL``, ``test/NORMAL``), the
second is. A patient is known where a film carries a name of ChestX-ray14, ``00000013_005.png``: patient 13.
"""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Final

from training.datasets.collection import PATIENTS_UNKNOWN, Collection, Notices, fingerprint
from training.datasets.folder_files import files_below
from training.datasets.sample import Sample
from training.datasets.tables import OFFICIAL_PARTS
from training.errors import DatasetError
from training.recipe import DataRecipe

_SUFFIXES: Final = frozenset({".png", ".jpg", ".jpeg"})
# What looks like a film but is none that this reader takes; said, so that nobody misses it silently.
_OTHER_FILMS: Final = frozenset({".dcm", ".dicom", ".tif", ".tiff", ".bmp", ".gif", ".webp"})
_NIH_NAME: Final = re.compile(r"(\d{8})_\d{3}")


def read_folders(directory: Path, recipe: DataRecipe) -> Collection:
    """Read every PNG and JPEG below ``directory``; folders that ``data.healthy`` names hold healthy films.

    Raises
    ------
    DatasetError
        If there is no film, or ``data.healthy`` names no folder that is there.
    """
    faults, remarks = Notices(), Notices()
    paths = _find_films(directory, remarks)
    if not paths:
        raise DatasetError(f"{directory} holds no .png or .jpg film in any folder")
    has_parts = all(path.parts[0].lower() in OFFICIAL_PARTS for path in paths)
    depth = 1 if has_parts else 0
    homeless = [path.as_posix() for path in paths if len(path.parts) <= depth + 1]
    if homeless:
        faults.add("no_class", "films that lie in no class folder", *homeless)
    classed = [path for path in paths if len(path.parts) > depth + 1]
    classes = sorted({path.parts[depth] for path in classed})
    if not set(classes) & set(recipe.healthy):
        raise DatasetError(
            f"data.healthy ({', '.join(recipe.healthy)}) names none of the folders of {directory}: {', '.join(classes)}"
        )
    patients = _patients(classed, remarks)
    samples = [
        Sample(
            id=path.as_posix(),
            path=path,
            patient=patients[path],
            findings=() if path.parts[depth] in recipe.healthy else (path.parts[depth],),
            official_part=OFFICIAL_PARTS[path.parts[0].lower()] if has_parts else None,
        )
        for path in classed
    ]
    return Collection(
        samples=tuple(samples),
        fingerprint=fingerprint(directory, samples),
        faults=tuple(faults),
        remarks=tuple(remarks),
    )


def _find_films(directory: Path, remarks: Notices) -> list[Path]:
    films, others = [], Counter[str]()
    for path in files_below(directory, remarks):
        if path.suffix.lower() in _SUFFIXES:
            films.append(path)
        elif path.suffix.lower() in _OTHER_FILMS:
            others[path.suffix.lower()] += 1
    for suffix, count in sorted(others.items()):
        remarks.add("left_out", "files left out, because this reader takes .png and .jpg", f"{count} {suffix} files")
    return sorted(films)


def _patients(paths: list[Path], remarks: Notices) -> dict[Path, str]:
    matches = {path: _NIH_NAME.fullmatch(path.stem) for path in paths}
    unknown = [path.as_posix() for path, match in matches.items() if match is None]
    if unknown:
        remarks.add(
            PATIENTS_UNKNOWN,
            "file names that tell no patient: every such film counts as a patient of its own, and films of one patient "
            "may lie on both sides of the split, unseen; figures may flatter",
            *unknown,
        )
    # One taken for patient 13 by chance is kept beside strangers, which costs nothing; the other way round leaks.
    return {path: str(int(match[1])) if match else path.as_posix() for path, match in matches.items()}
