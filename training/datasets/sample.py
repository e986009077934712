"""One labelled film, and the table of them that the ``manifest`` step hands to all later steps."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

_COLUMNS = (
    "id",
    "path",
    "patient",
    "findings",
    "view",
    "age_years",
    "sex",
    "is_disputed",
    "official_part",
    "frame",
    "part",
)


class Part(StrEnum):
    """What a film may be used for. A patient's films all have the same part."""

    TRAIN = "train"
    SELECT = "select"
    CALIBRATE = "calibrate"
    TEST = "test"


@dataclass(frozen=True, kw_only=True)
class Sample:
    """A film with its label.

    Attributes
    ----------
    id
        Name of the film in its collection, unique.
    path
        Where its file is, relative to the data directory: a run outlives the move of its films.
    patient
        Pseudonymous patient number of the collection; films that share it are never separated.
    findings
        Labels as the collection spells them; empty means no finding.
    view
        ``PA``, ``AP`` or ``None`` where unknown.
    is_disputed
        A second reading called this film normal. Where its label is a finding, the two contradict each other; where it
        is none, they agree. All of them are kept out of training and certification, as the README of the films advises,
        unless the recipe says otherwise.
    official_part
        ``train``, ``select``, ``train_val`` or ``test`` where the collection publishes a list, else ``None``.
    frame
        Row of this film in the array at ``path`` (MedMNIST), ``None`` where ``path`` is the film's own file.
    """

    id: str
    path: Path
    patient: str
    findings: tuple[str, ...]
    view: str | None = None
    age_years: int | None = None
    sex: str | None = None
    is_disputed: bool = False
    official_part: str | None = None
    frame: int | None = None

    @property
    def is_unhealthy(self) -> bool:
        """Whether any finding is recorded: the positive class."""
        return bool(self.findings)


def write_samples(path: Path, samples: Iterable[Sample], parts: Mapping[str, Part]) -> None:
    """Write the table of samples with the part of each, in the order given."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(_COLUMNS)
        for sample in samples:
            writer.writerow(
                (
                    sample.id,
                    sample.path.as_posix(),
                    sample.patient,
                    "|".join(sample.findings),
                    sample.view or "",
                    "" if sample.age_years is None else sample.age_years,
                    sample.sex or "",
                    int(sample.is_disputed),
                    sample.official_part or "",
                    "" if sample.frame is None else sample.frame,
                    parts[sample.id],
                )
            )


def read_samples(path: Path) -> list[tuple[Sample, Part]]:
    """Read what ``write_samples`` wrote, in the same order."""
    with path.open(newline="", encoding="utf-8") as file:
        return [(_sample(row), Part(row["part"])) for row in csv.DictReader(file)]


def _sample(row: dict[str, str]) -> Sample:
    return Sample(
        id=row["id"],
        path=Path(row["path"]),
        patient=row["patient"],
        findings=tuple(row["findings"].split("|")) if row["findings"] else (),
        view=row["view"] or None,
        age_years=int(row["age_years"]) if row["age_years"] else None,
        sex=row["sex"] or None,
        is_disputed=row["is_disputed"] == "1",
        official_part=row["official_part"] or None,
        frame=int(row["frame"]) if row["frame"] else None,
    )
