"""The film that a result speaks of: its attributes, and the data set that results inherit patient and study from.

``model.decoding`` reads the file; here is what makes it unfit for a result. Needs pydicom alone.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Final

from pydicom.dataset import Dataset

from model.decoding.source_attributes import SourceAttributes, read_source_attributes
from model.errors import ImageError, UnsupportedFormat
from services.dicom.codes import FILM_CLASSES
from services.dicom.errors import FilmGone, FilmNotDicom, FilmNotReportable
from services.jobs.disk import translate_disk_errors
from services.jobs.records import Record

# What every object of ours is written in: all names of all character sets are in it (PS3.3 C.12.1.1.2).
UNICODE: Final = "ISO_IR 192"


def read_verified_source(path: Path, *, sha256: str) -> SourceAttributes:
    """Return what results repeat of a kept film that is still what came in: damaged, it may name another patient.

    Raises
    ------
    FilmNotDicom, FilmNotReportable, FilmGone, SpoolUnavailable
        As ``read_source``; a damaged film counts as gone.
    """
    with translate_disk_errors():
        found = _digest(path)
    if found != sha256:
        raise FilmGone("the kept film is not what came in")
    return read_source(path)


def _digest(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except FileNotFoundError as error:
        raise FilmGone("past retention") from error


def read_source(path: Path) -> SourceAttributes:
    """Return what results repeat of a kept film.

    Raises
    ------
    FilmNotDicom
        If it is a PNG or JPEG: such a film has no patient and no study that an archive could know.
    FilmNotReportable
        If it is DICOM, but its header cannot be repeated, or it is of a SOP class that is no film.
    FilmGone
        If it is past its retention.
    SpoolUnavailable
        If the spool cannot be read.
    """
    try:
        with translate_disk_errors():
            source = _read(path)
    except UnsupportedFormat as error:
        raise FilmNotDicom("The film is a PNG or JPEG, which has no patient and no study to report to.") from error
    except ImageError as error:
        raise FilmNotReportable("The film's DICOM header cannot be repeated in a result.") from error
    if source.sop_class_uid not in FILM_CLASSES:
        raise FilmNotReportable("The film is of a SOP class that is no radiograph; results speak of CR and DX alone.")
    return source


def _read(path: Path) -> SourceAttributes:
    try:
        return read_source_attributes(path)
    except FileNotFoundError as error:
        raise FilmGone("past retention") from error


def study_alone(record: Record) -> SourceAttributes:
    """Return what is left to repeat of a film whose header is past retention: the study, by its UID."""
    return SourceAttributes(
        sop_class_uid="",
        sop_instance_uid=record.sop_instance_uid or "",
        study_instance_uid=record.study_uid,
        series_instance_uid="",
        patient_name="",
        patient_id="",
        issuer_of_patient_id=None,
        patient_birth_date=None,
        patient_sex=None,
        patient_age=None,
        study_date=None,
        study_time=None,
        study_id=None,
        study_description=None,
        accession_number=None,
        referring_physician_name=None,
        utc_offset=None,
        body_part=None,
        laterality=None,
        patient_orientation=(),
        is_lossy=False,
        lossy_ratios=(),
        lossy_methods=(),
    )


def evidence_of(source: SourceAttributes) -> Dataset:
    """Return the film as highdicom takes it, in ISO_IR 192.

    Names of persons are left out: highdicom warns of what it finds unlikely by quoting it. ``authorship.sign`` adds
    them.
    """
    evidence = Dataset()
    evidence.SpecificCharacterSet = UNICODE
    evidence.SOPClassUID, evidence.SOPInstanceUID = source.sop_class_uid, source.sop_instance_uid
    evidence.StudyInstanceUID, evidence.SeriesInstanceUID = source.study_instance_uid, source.series_instance_uid
    evidence.PatientName = ""
    evidence.PatientID = source.patient_id
    evidence.PatientBirthDate = source.patient_birth_date or ""
    # CS with three defined values (PS3.3 C.7.1.1); highdicom refuses others.
    evidence.PatientSex = source.patient_sex if source.patient_sex in ("F", "M", "O") else ""
    evidence.AccessionNumber = source.accession_number or ""
    evidence.StudyID = source.study_id or ""
    # None and not empty: highdicom takes an empty text for a date.
    evidence.StudyDate, evidence.StudyTime = source.study_date, source.study_time
    if source.issuer_of_patient_id:
        evidence.IssuerOfPatientID = source.issuer_of_patient_id
    if source.study_description:
        evidence.StudyDescription = source.study_description
    if source.patient_age:
        evidence.PatientAge = source.patient_age
    return evidence
