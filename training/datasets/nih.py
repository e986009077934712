"""NIH ChestX-ray14 as its users have it: the official table, and the films in whatever folders they unpacked.

Films are indexed once by file name, so one flat folder, Kaggle's ``images_001/images … images_012/images`` and
re-encoded ``.jpg`` copies all work. Source of the collection: Wang et al., CVPR 2017; NIH Clinical Center.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from training.datasets.collection import Collection, Notices
from training.datasets.folder_files import files_below
from training.datasets.sample import Sample
from training.datasets.tables import (
    is_too_old,
    open_table,
    read_age,
    read_part,
    read_rows,
    read_sex,
    read_view,
    tabled_collection,
)
from training.errors import DatasetError
from training.recipe import DataRecipe

TABLE_NAMES = ("Data_Entry_2017_v2020.csv", "Data_Entry_2017.csv", "sample_labels.csv")
TEST_LIST_NAMES = ("test_list.txt", "test_list_NIH.txt", "nih_test_list.txt")
NOTES_NAME = "notes.csv"
NO_FINDING = "No Finding"
# In the order of MedMNIST's ChestMNIST, which is that of the paper.
FINDINGS = (
    "Atelectasis",
    "Cardiomegaly",
    "Effusion",
    "Infiltration",
    "Mass",
    "Nodule",
    "Pneumonia",
    "Pneumothorax",
    "Consolidation",
    "Edema",
    "Emphysema",
    "Fibrosis",
    "Pleural_Thickening",
    "Hernia",
)

# The table was published with several headers: 2017, its 2020 revision, and Kaggle's sample of 5 %.
_SPELLINGS = {
    "image": ("Image Index",),
    "findings": ("Finding Labels",),
    "patient": ("Patient ID",),
    "age": ("Patient Age",),
    "sex": ("Patient Gender", "Patient Sex"),
    "view": ("View Position",),
}
_SUFFIXES = (".png", ".jpg", ".jpeg")


@dataclass(frozen=True, kw_only=True)
class _Note:
    """What ``notes.csv`` says of a film."""

    is_disputed: bool = False
    official_part: str | None = None


_NO_NOTE = _Note()


def read_nih(directory: Path, recipe: DataRecipe) -> Collection:
    """Read the table and find every film.

    ``notes.csv``, where present, names films that a second reading called normal (``rsna_says_normal`` = 1) and the
    official part of each film (``official_split``); the official test list, where present, does the latter too.

    Raises
    ------
    DatasetError
        If the table or a column is missing, a row or note cannot be understood, or no film is there at all.
    """
    table = find_nih_table(directory)
    faults, remarks = Notices(), Notices()
    films, test_list = _index_films(directory, remarks), _read_test_list(directory)
    notes = _read_notes(directory / NOTES_NAME, faults)
    samples: list[Sample] = []
    missing: list[str] = []
    listed: set[str] = set()
    for line, row in _read_table(table):
        listed.add(row["image"])
        film = films.get(Path(row["image"]).stem)
        place = f"{table} line {line}"
        if is_too_old(row["age"], recipe, place, remarks):
            continue
        is_sound = _is_understood(row, place, faults)
        if film is None:
            missing.append(row["image"])
        elif is_sound:
            official = ("test" if row["image"] in test_list else "train_val") if test_list else None
            note, age_years = notes.get(row["image"], _NO_NOTE), read_age(row["age"], place, remarks)
            samples.append(_sample(row, film, note, official, age_years))
    _remark_strays(directory / NOTES_NAME, notes.keys() - listed, remarks)
    return tabled_collection(
        directory,
        table,
        samples,
        missing=missing,
        missing_images=recipe.missing_images,
        faults=faults,
        remarks=remarks,
    )


def find_nih_table(directory: Path) -> Path:
    """Return the official table of ``directory``, under any of its names.

    Raises
    ------
    DatasetError
        If there is none.
    """
    table = _first_existing(directory, TABLE_NAMES)
    if table is None:
        raise DatasetError(f"{directory} has no table: expected {' or '.join(TABLE_NAMES)}")
    return table


def nih_columns(table: Path) -> dict[str, str]:
    """Return how the header spells ``image``, ``findings``, ``patient``, ``age``, ``sex`` and ``view``.

    Raises
    ------
    DatasetError
        If a column is missing.
    """
    with open_table(table) as reader:
        header = reader.fieldnames or []
    columns = {key: next((name for name in names if name in header), "") for key, names in _SPELLINGS.items()}
    absent = [" or ".join(_SPELLINGS[key]) for key, name in columns.items() if not name]
    if absent:
        raise DatasetError(f"{table} lacks the column {', '.join(absent)}; it has: {', '.join(header)}")
    return columns


def _first_existing(directory: Path, names: tuple[str, ...]) -> Path | None:
    return next((directory / name for name in names if (directory / name).is_file()), None)


def _index_films(directory: Path, remarks: Notices) -> dict[str, Path]:
    films: dict[str, Path] = {}
    for path in files_below(directory, remarks):
        if path.suffix.lower() not in _SUFFIXES:
            continue
        if path.stem in films:
            raise DatasetError(
                f"two files are named {path.stem}: {directory / films[path.stem]} and {directory / path}; keep one"
            )
        films[path.stem] = path
    return films


def _read_table(table: Path) -> Iterator[tuple[int, dict[str, str]]]:
    columns = nih_columns(table)
    for line, cells in read_rows(table, columns.values()):
        yield line, {key: cells[name] for key, name in columns.items()}


def _is_understood(row: dict[str, str], place: str, faults: Notices) -> bool:
    # An empty cell must not become a healthy film, nor a misspelt "No Finding" an unhealthy one.
    labels = row["findings"].split("|")
    if not row["patient"]:
        faults.add("no_patient", "rows that name no patient", place)
    elif NO_FINDING in labels and labels != [NO_FINDING]:
        faults.add("label_conflict", f"'{NO_FINDING}' beside a finding", f"{place}: '{row['findings']}'")
    elif labels != [NO_FINDING] and not set(FINDINGS).issuperset(labels):
        text = "finding labels that are not those of the collection"
        faults.add("unknown_label", text, f"{place}: '{row['findings']}'")
    else:
        return True
    return False


def _read_notes(path: Path, faults: Notices) -> dict[str, _Note]:
    if not path.is_file():
        return {}
    with open_table(path) as reader:
        columns = ["image_index", "rsna_says_normal"]
        columns += [name for name in ("official_split",) if name in (reader.fieldnames or [])]
    notes: dict[str, _Note] = {}
    for line, row in read_rows(path, columns):
        if row["rsna_says_normal"] not in ("0", "1"):
            raise DatasetError(f"{path} line {line}: rsna_says_normal is neither 0 nor 1")
        if row["image_index"] in notes:
            # Nobody could say which of the two holds.
            faults.add("noted_twice", f"{path} notes films twice", f"line {line}: {row['image_index']}")
        notes[row["image_index"]] = _Note(
            is_disputed=row["rsna_says_normal"] == "1",
            official_part=read_part(row.get("official_split", ""), f"{path} line {line}", faults),
        )
    return notes


def _remark_strays(path: Path, strays: Iterable[str], remarks: Notices) -> None:
    names = sorted(strays)
    if names:
        remarks.add("stray_note", f"{path} notes films that the table does not list", *names)


def _read_test_list(directory: Path) -> frozenset[str]:
    path = _first_existing(directory, TEST_LIST_NAMES)
    try:
        return frozenset(path.read_text(encoding="utf-8").split()) if path else frozenset()
    except (UnicodeDecodeError, OSError) as error:
        raise DatasetError(f"{path} cannot be read as text in UTF-8: {error}") from error


def _sample(row: dict[str, str], film: Path, note: _Note, official_part: str | None, age_years: int | None) -> Sample:
    return Sample(
        id=row["image"],
        path=film,
        patient=row["patient"],
        findings=tuple(label for label in row["findings"].split("|") if label != NO_FINDING),
        view=read_view(row["view"]),
        age_years=age_years,
        sex=read_sex(row["sex"]),
        is_disputed=note.is_disputed,
        official_part=official_part or note.official_part,
    )
