"""A folder of DICOM files with a table of labels beside them, keyed by file path or SOPInstanceUID.

View, age, sex and patient come from the files' own headers. Whatever a worker's header gate refuses (laterals,
children, other modalities) is left out here too, and said so: what could not be served must not be learnt from.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from model.decoding.dicom_attributes import read_attributes, read_file_meta
from model.decoding.header import Header, ImageFormat
from model.decoding.inspect import inspect_header
from model.decoding.source import open_source
from model.errors import ImageError, Reason, UnsuitableImage, UnsupportedFormat
from model.gate import GateSpec, gate_header
from training.datasets.collection import Collection, Notices
from training.datasets.folder_files import files_below
from training.datasets.labelled_table import named_columns, note_unknown_patients, read_sample
from training.datasets.sample import Sample
from training.datasets.tables import find_table, is_too_old, read_rows, read_sex, read_view, tabled_collection
from training.recipe import DataRecipe

_PATIENT_ID: Final = 0x00100020
_PATIENT_DIGITS: Final = 16
_LEFT_OUT: Final = "files left out, because a worker would not judge them"


@dataclass(frozen=True, kw_only=True)
class _File:
    """A DICOM file; ``refusal`` says why it may not be judged, ``None`` where it may."""

    path: Path
    header: Header
    refusal: str | None


def read_dicom_folder(directory: Path, recipe: DataRecipe) -> Collection:
    """Read the header of every DICOM file below ``directory`` and the label of each from ``labels.csv``.

    ``data.columns.image`` holds the file's path below ``directory`` or its SOP Instance UID (0008,0018). The patient is
    a hash of (0010,0020) Patient ID: a pseudonym, which whoever knows the identifiers can undo. (0010,0021) Issuer of
    Patient ID has no part in it: one patient's films may state it or not, and two patients taken for one lose nothing,
    while one taken for two leaks. ``data.columns.patient``, where named, outvotes the header, because anonymised files
    often all carry the same Patient ID; columns for age, sex and view are not read.
    An age that a header cannot mean is unknown, so that ``data.oldest_years`` leaves nobody out for it.

    Raises
    ------
    DatasetError
        If the table or a column is missing, or a row is shorter than the header.
    """
    table, own = find_table(directory), _without_header_columns(recipe)
    faults, remarks = Notices(), Notices()
    rows = list(read_rows(table, named_columns(own.columns)))
    wanted = {row[own.columns.image] for _, row in rows}
    files, refused = _read_files(directory, wanted, faults, remarks)
    samples: list[Sample] = []
    missing: list[str] = []
    for line, row in ((line, row) for line, row in rows if row[own.columns.image] not in refused):
        key = row[own.columns.image]
        matches = files.get(key, [])
        place = f"{table} line {line}"
        if len(matches) > 1:
            faults.add("ambiguous", f"{table} names a SOPInstanceUID of several files", f"line {line}: {key}")
        elif not matches:
            missing.append(f"line {line}: {key or 'no name'}")
        elif not is_too_old(matches[0].header.age_years, own, place, remarks):
            sample = read_sample(row, matches[0].path, own, place=place, faults=faults, remarks=remarks)
            samples += [] if sample is None else [_with_header(sample, matches[0], own, directory, remarks)]
    return tabled_collection(
        directory,
        table,
        samples,
        missing=missing,
        missing_images=recipe.missing_images,
        faults=faults,
        remarks=remarks,
    )


def _without_header_columns(recipe: DataRecipe) -> DataRecipe:
    columns = recipe.columns.model_copy(update={"age": None, "sex": None, "view": None})
    return recipe.model_copy(update={"columns": columns})


def _read_files(
    directory: Path, wanted: set[str], faults: Notices, remarks: Notices
) -> tuple[dict[str, list[_File]], set[str]]:
    """Return the files that may be judged, by path and by SOPInstanceUID, and the keys of those that may not."""
    files: dict[str, list[_File]] = defaultdict(list)
    refused: set[str] = set()
    unlabelled = []
    for path in sorted(files_below(directory, remarks)):
        name = path.as_posix()
        try:
            file = _read_file(directory, path)
        except (ImageError, OSError) as error:
            if name in wanted:
                faults.add("unreadable", "files that cannot be read as DICOM", f"{name}: {error}")
                refused.add(name)
            elif not isinstance(error, UnsupportedFormat):
                remarks.add("left_out", _LEFT_OUT, f"{name}: {error}")
            continue
        keys = [name] + ([file.header.sop_instance_uid] if file.header.sop_instance_uid else [])
        if file.refusal is not None:
            remarks.add("left_out", _LEFT_OUT, f"{name}: {file.refusal}")
            refused.update(keys)
            continue
        if wanted.isdisjoint(keys):
            unlabelled.append(name)
        for key in keys:
            files[key].append(file)
    if unlabelled:
        remarks.add("unlabelled", "DICOM files without a label are left out", *unlabelled)
    return files, refused - files.keys()


def _read_file(directory: Path, path: Path) -> _File:
    header = inspect_header(directory / path)
    if header.image_format is not ImageFormat.DICOM:
        raise UnsupportedFormat(Reason.DECODE_ERROR, "not a DICOM file")
    try:
        gate_header(header, GateSpec())
    except UnsuitableImage as error:
        return _File(path=path, header=header, refusal=f"{error.reason} ({error.detail})")
    return _File(path=path, header=header, refusal=None)


def _with_header(sample: Sample, file: _File, recipe: DataRecipe, directory: Path, remarks: Notices) -> Sample:
    patient = sample.patient
    if recipe.columns.patient is None:
        named = _read_patient(directory / file.path)
        if named is None:
            note_unknown_patients(remarks, file.path.as_posix())
        patient = named or patient
    return replace(
        sample,
        patient=patient,
        view=read_view(file.header.view_position or ""),
        age_years=None if file.header.age_years is None else int(file.header.age_years),
        sex=read_sex(file.header.sex or ""),
    )


def _read_patient(path: Path) -> str | None:
    with open_source(path) as (stream, size):
        meta = read_file_meta(stream)
        values = read_attributes(stream, size, meta, frozenset({_PATIENT_ID})).values
    patient = values.get(((), _PATIENT_ID), b"").strip(b"\0 ")
    return hashlib.sha256(patient).hexdigest()[:_PATIENT_DIGITS] if patient else None
