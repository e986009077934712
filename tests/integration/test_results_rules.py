"""``dciodvfy`` finds no error in any result, whatever film it speaks of, in whatever character set its names were."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("highdicom", reason="the extra [dicom] is not installed")

from pydicom.uid import RE_VALID_UID

from model.decoding.source_attributes import SourceAttributes
from services.dicom.files import overlay_file, rejection_file, report_file
from tests.support.dicom3tools import dciodvfy
from tests.support.results import NOTHING, done_record, kept_pictures, past_decision, reportable_films, source_of

WITHDRAWN = done_record(**(NOTHING | {"reason": "withdrawn"}))
DEFINITIONS = {"note": "KeyObjectSelectionDocument", "overlay": "SCImage"}
FILMS: dict[str, dict[str, Any]] = {
    "latin": {
        "SpecificCharacterSet": "ISO_IR 100",
        "PatientName": "Müller^Jürgen",
        "StudyDescription": "Thorax für Ärzte",
    },
    "unicode": {"SpecificCharacterSet": "ISO_IR 192", "PatientName": "Wang^XiaoDong=王^小东"},
    "japanese": {
        "SpecificCharacterSet": ["", "ISO 2022 IR 87"],
        "PatientName": "Yamada^Tarou=山田^太郎=やまだ^たろう",
    },
    "lossy without a ratio": {"LossyImageCompression": "01"},
}


def results_of(source: SourceAttributes | None) -> dict[str, bytes]:
    """Return one of each kind of object; without a film there is but the note that takes the others back."""
    past = [past_decision(**NOTHING), past_decision()]
    note = rejection_file(WITHDRAWN, source, past)
    assert note is not None
    if source is None:
        return {"note": note}
    return {
        "note": note,
        "report": report_file(done_record(), source, ()),
        "later report": report_file(done_record(), source, past),
        "report of nothing": report_file(done_record(**NOTHING), source, ()),
        "overlay": overlay_file(done_record(), source, *kept_pictures(), commit=1),
    }


def violations(results: dict[str, bytes], directory: Path) -> dict[str, tuple[str, ...]]:
    """Return what ``dciodvfy`` says of each object that breaks a rule of what it is meant to be."""
    found = {}
    for name, content in results.items():
        path = directory / f"{name}.dcm"
        path.write_bytes(content)
        verdict = dciodvfy(path)
        assert verdict.definition == DEFINITIONS.get(name, "Comprehensive3DSR")
        if verdict.errors:
            found[name] = verdict.errors
    return found


def is_legal(source: SourceAttributes) -> bool:
    """Return whether a film's own UIDs are; others are repeated as they are, or nobody would find the study."""
    uids = (source.study_instance_uid, source.series_instance_uid, source.sop_instance_uid)
    return all(re.match(RE_VALID_UID, uid) for uid in uids)


@pytest.mark.parametrize("film", FILMS)
def test_every_kind_of_result_keeps_the_rules_of_its_class(film: str, tmp_path: Path) -> None:
    assert violations(results_of(source_of(**FILMS[film])), tmp_path) == {}


def test_note_about_a_film_past_retention_keeps_them_too(tmp_path: Path) -> None:
    assert violations(results_of(None), tmp_path) == {}


def test_results_of_every_real_film_keep_them(tmp_path: Path) -> None:
    sources = {path: source for path, source in reportable_films().items() if is_legal(source)}
    assert len(sources) >= 10
    found = {path.name: violations(results_of(source), tmp_path) for path, source in sources.items()}
    assert {name: errors for name, errors in found.items() if errors} == {}
