"""Which films a result can speak of, and what is said of the others."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from services.dicom.errors import FilmGone, FilmNotDicom, FilmNotReportable, ResultError
from services.dicom.source import read_source, read_verified_source
from services.jobs.errors import SpoolUnavailable
from tests.support import films


def kept(directory: Path, payload: bytes) -> Path:
    path = directory / "film"
    path.write_bytes(payload)
    return path


@pytest.mark.parametrize("sop_class", [films.CR_STORAGE, films.DX_STORAGE, films.DX_PROCESSING_STORAGE])
def test_radiograph_has_results(tmp_path: Path, sop_class: str) -> None:
    path = kept(tmp_path, films.dicom_film(rows=64, columns=64, SOPClassUID=sop_class))
    assert read_source(path).sop_class_uid == sop_class


@pytest.mark.parametrize(
    ("attributes", "error"),
    [
        ({"SOPClassUID": films.CT_STORAGE}, FilmNotReportable),
        ({"SOPClassUID": films.SECONDARY_CAPTURE}, FilmNotReportable),
        ({"SeriesInstanceUID": None}, FilmNotReportable),
        ({"PatientID": "1" * 70}, FilmNotReportable),
        ({"transfer_syntax": films.DEFLATED}, FilmNotReportable),
    ],
    ids=str,
)
def test_film_that_cannot_be_repeated_has_none(tmp_path: Path, attributes: Any, error: type[ResultError]) -> None:
    with pytest.raises(error):
        read_source(kept(tmp_path, films.dicom_film(rows=64, columns=64, **attributes)))


@pytest.mark.parametrize("payload", [films.png_film(), films.jpeg_film()], ids=["png", "jpeg"])
def test_raster_film_has_none(tmp_path: Path, payload: bytes) -> None:
    with pytest.raises(FilmNotDicom):
        read_source(kept(tmp_path, payload))


def test_film_past_retention_is_gone_and_a_disk_that_fails_is_another_matter(tmp_path: Path) -> None:
    with pytest.raises(FilmGone):
        read_source(tmp_path / "nothing")
    with pytest.raises(SpoolUnavailable):
        read_source(tmp_path)


def test_errors_quote_nothing_of_the_patient(tmp_path: Path) -> None:
    path = kept(tmp_path, films.dicom_film(rows=64, columns=64, PatientID="Secret^" * 12))
    with pytest.raises(FilmNotReportable) as caught:
        read_source(path)
    assert "Secret" not in f"{caught.value} {caught.value.__cause__}"


def test_film_that_was_damaged_on_disk_is_repeated_to_nobody(tmp_path: Path) -> None:
    payload = films.dicom_film(rows=64, columns=64, PatientID="4711")
    digest = hashlib.sha256(payload).hexdigest()
    assert read_verified_source(kept(tmp_path, payload), sha256=digest).patient_id == "4711"
    with pytest.raises(FilmGone):
        read_verified_source(kept(tmp_path, payload.replace(b"4711", b"4712")), sha256=digest)
    with pytest.raises(FilmGone):
        read_verified_source(tmp_path / "nothing", sha256=digest)


WITHOUT_HIGHDICOM = """
import sys
sys.modules["highdicom"] = None
import services.api.app
from services.dicom.errors import DicomExtraMissing
from services.dicom.files import require_extra
try:
    require_extra()
except DicomExtraMissing as error:
    print(error.code)
"""


def test_gateway_starts_without_highdicom_and_says_what_is_missing() -> None:
    done = subprocess.run([sys.executable, "-c", WITHOUT_HIGHDICOM], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["dicom_extra_missing"]
