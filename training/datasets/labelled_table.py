"""A CSV table of any column names beside the films it lists: ``data.columns`` says which column is what."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

from training.datasets.collection import PATIENTS_UNKNOWN, Collection, Notices
from training.datasets.folder_files import files_below
from training.datasets.sample import Sample
from training.datasets.tables import (
    find_table,
    is_lateral,
    is_too_old,
    read_age,
    read_findings,
    read_part,
    read_rows,
    read_sex,
    read_view,
    tabled_collection,
)
from training.recipe import ColumnsRecipe, DataRecipe


def read_labelled_table(directory: Path, recipe: DataRecipe) -> Collection:
    """Read ``labels.csv``, or the only CSV file of ``directory``, and find the film of each row.

    A film is named by its path below ``directory``, or by a bare file name that is there once. Rows whose view is
    lateral are left out and said so: a worker does not judge them.

    Raises
    ------
    DatasetError
        If the table or a column is missing, or a row is shorter than the header.
    """
    table, columns = find_table(directory), recipe.columns
    faults, remarks = Notices(), Notices()
    films = _Films(directory, remarks)
    samples: list[Sample] = []
    missing: list[str] = []
    for line, row in read_rows(table, named_columns(columns)):
        place = f"{table} line {line}"
        if _is_left_out(row, recipe, place, remarks):
            continue
        film = films.find(row[columns.image])
        if film is None:
            missing.append(f"line {line}: {row[columns.image] or 'no name'}")
            continue
        sample = read_sample(row, film, recipe, place=place, faults=faults, remarks=remarks)
        if sample is not None:
            samples.append(sample)
    if columns.patient is None:
        note_unknown_patients(remarks)
    return tabled_collection(
        directory,
        table,
        samples,
        missing=missing,
        missing_images=recipe.missing_images,
        faults=faults,
        remarks=remarks,
    )


def _is_left_out(row: dict[str, str], recipe: DataRecipe, place: str, remarks: Notices) -> bool:
    columns = recipe.columns
    if columns.view and is_lateral(row[columns.view]):
        remarks.add("left_out", "films left out, because a worker judges frontal ones alone", f"{place}: lateral")
        return True
    return columns.age is not None and is_too_old(row[columns.age], recipe, place, remarks)


def named_columns(columns: ColumnsRecipe) -> list[str]:
    """Return the columns that the recipe names, and that the table must therefore have."""
    names = (columns.image, columns.findings, columns.patient, columns.age, columns.sex, columns.view, columns.part)
    return [name for name in dict.fromkeys(names) if name is not None]


def read_sample(
    row: dict[str, str], film: Path, recipe: DataRecipe, *, place: str, faults: Notices, remarks: Notices
) -> Sample | None:
    """Return the sample of a row; ``None`` where the row is a fault, which is then noted."""
    columns = recipe.columns
    findings = read_findings(
        row[columns.findings], recipe.healthy, separator=columns.separator, place=place, faults=faults
    )
    if columns.patient and not row[columns.patient]:
        faults.add("no_patient", "rows that name no patient", place)
        return None
    if findings is None:
        return None
    return Sample(
        id=film.as_posix(),
        path=film,
        patient=row[columns.patient] if columns.patient else film.as_posix(),
        findings=findings,
        view=read_view(row[columns.view]) if columns.view else None,
        age_years=read_age(row[columns.age], place, remarks) if columns.age else None,
        sex=read_sex(row[columns.sex]) if columns.sex else None,
        official_part=read_part(row[columns.part], place, faults) if columns.part else None,
    )


def note_unknown_patients(remarks: Notices, *places: str) -> None:
    """Note that films whose patient is not known each count as a patient of their own."""
    remarks.add(
        PATIENTS_UNKNOWN,
        "no patient is named: every such film counts as a patient of its own, and films of one patient may lie on both "
        "sides of the split, unseen; figures may flatter",
        *places,
    )


class _Films:
    """Finds films below a folder: by path, or by a bare name that is there once. It is walked once, if at all.

    A path that is not there never stands for a film of the same name in another folder, which may be another patient's.
    """

    def __init__(self, directory: Path, remarks: Notices) -> None:
        self._directory, self._remarks = directory, remarks
        self._by_name: dict[str, list[Path]] | None = None

    def find(self, name: str) -> Path | None:
        """Return the film's path below the folder, ``None`` if there is none or more than one."""
        if not name:
            return None
        if not Path(name).is_absolute() and (self._directory / name).is_file():
            return Path(name)
        if Path(name).name != name:
            return None
        if self._by_name is None:
            self._by_name = defaultdict(list)
            for path in files_below(self._directory, self._remarks):
                self._by_name[path.name].append(path)
        paths = self._by_name.get(name, [])
        return paths[0] if len(paths) == 1 else None
