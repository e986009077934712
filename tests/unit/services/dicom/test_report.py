"""The structured report, read back as others read it: what stands in it is what stands in the record, and no more."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from typing import Any

import pytest
from highdicom.sr import Comprehensive3DSR, srread
from pydicom import Dataset, dcmread
from pydicom.sr.coding import Code

from model.errors import Reason
from services.dicom.files import report_file
from services.dicom.uids import ResultKind, device_uid, result_uid, series_uid, tracking_uid
from services.dicom.vocabulary import SCHEME
from services.jobs.records import PastDecision, Record
from tests.support.results import DIGEST, FILM_ID, NOTHING, done_record, past_decision, source_of

OUTCOME, REASON = Code("TRIAGE_OUTCOME", SCHEME, ""), Code("TRIAGE_REASON", SCHEME, "")
NOT_FLAGGED = {"outcome": "not_flagged", "probability": 0.1}
UNJUDGED = NOTHING | {"reason": "out_of_distribution", "model": {"name": "tiny", "version": "1.2.0", "digest": DIGEST}}
DECISIONS: dict[str, dict[str, Any]] = {
    "flagged": {},
    "not flagged": NOT_FLAGGED,
    "gated": NOTHING,
    "unlike": UNJUDGED,
    "withdrawn": NOTHING | {"reason": "withdrawn"},
}


def reported(record: Record, *, past: Sequence[PastDecision] = (), **attributes: Any) -> Dataset:
    return dcmread(io.BytesIO(report_file(record, source_of(**attributes), past)))


def content(dataset: Dataset) -> list[tuple[str, str, str]]:
    """The whole tree as (relationship, name, value), in order."""
    found: list[tuple[str, str, str]] = []
    for item in dataset.get("ContentSequence", ()):
        (name,) = item.ConceptNameCodeSequence
        found.append((item.RelationshipType, name.CodeMeaning, value_of(item)))
        found += content(item)
    return found


def value_of(item: Dataset) -> str:
    match item.ValueType:
        case "CODE":
            code = item.ConceptCodeSequence[0]
            return f"{code.get('CodeValue') or code.get('LongCodeValue')} {code.CodingSchemeDesignator}"
        case "TEXT":
            return str(item.TextValue)
        case "UIDREF":
            return str(item.UID)
        case "NUM":
            (measured,) = item.MeasuredValueSequence
            unit = measured.MeasurementUnitsCodeSequence[0]
            return f"{measured.NumericValue} {unit.CodeValue} {unit.CodingSchemeDesignator}"
        case "IMAGE":
            return str(item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID)
        case _:
            return ""


def test_whole_tree_of_a_flagged_film() -> None:
    source = source_of()
    assert content(reported(done_record())) == [
        ("HAS CONCEPT MOD", "Language of Content Item and Descendants", "en-US RFC5646"),
        ("HAS OBS CONTEXT", "Observer Type", "121007 DCM"),
        ("HAS OBS CONTEXT", "Device Observer UID", device_uid(DIGEST)),
        ("HAS OBS CONTEXT", "Device Observer Name", "cxr-triage"),
        ("HAS OBS CONTEXT", "Device Observer Manufacturer", "cxr-triage"),
        ("HAS OBS CONTEXT", "Device Observer Model Name", "tiny"),
        ("HAS CONCEPT MOD", "Procedure reported", "399208008 SCT"),
        ("CONTAINS", "Imaging Measurements", ""),
        ("CONTAINS", "Measurement Group", ""),
        ("HAS OBS CONTEXT", "Tracking Identifier", f"triage {FILM_ID}"),
        ("HAS OBS CONTEXT", "Tracking Unique Identifier", tracking_uid(FILM_ID)),
        ("CONTAINS", "Finding", "263654008 SCT"),
        ("HAS CONCEPT MOD", "Algorithm Name", "tiny"),
        ("HAS CONCEPT MOD", "Algorithm Version", "1.2.0"),
        ("HAS CONCEPT MOD", "Algorithm Parameters", f"digest={DIGEST}"),
        ("HAS CONCEPT MOD", "Algorithm Parameters", "policy=high recall, version 3 of site default"),
        ("HAS CONCEPT MOD", "Algorithm Parameters", "threshold=0.42"),
        ("HAS CONCEPT MOD", "Algorithm Parameters", "direction=flagged at or above the threshold"),
        ("CONTAINS", "Probability", "0.8731234567 1 UCUM"),
        ("CONTAINS", "Triage outcome", f"FLAGGED {SCHEME}"),
        ("CONTAINS", "Source of Measurement", source.sop_instance_uid),
    ]


def test_film_that_was_not_flagged_has_a_probability_and_no_finding() -> None:
    names = {name: value for _, name, value in content(reported(done_record(**NOT_FLAGGED)))}
    assert "Finding" not in names
    assert (names["Triage outcome"], names["Probability"]) == (f"NOT_FLAGGED {SCHEME}", "0.1 1 UCUM")


@pytest.mark.parametrize("reason", Reason)
def test_film_that_nobody_assessed_has_its_reason_and_nothing_of_a_score(reason: Reason) -> None:
    tree = content(reported(done_record(**(NOTHING | {"reason": reason}))))
    names = {name: value for _, name, value in tree}
    assert names["Triage outcome"] == f"NOT_ASSESSED {SCHEME}"
    assert names["Reason why the film was not assessed"] == f"{reason.value.upper()} {SCHEME}"
    assert not {"Finding", "Probability", "Algorithm Parameters", "Algorithm Name"} & names.keys()
    assert not re.search("policy|threshold|probability", str(tree))


def test_model_that_looked_at_a_film_it_did_not_judge_is_named_without_a_threshold() -> None:
    tree = content(reported(done_record(**UNJUDGED)))
    assert [value for _, name, value in tree if name == "Algorithm Parameters"] == [f"digest={DIGEST}"]
    assert ("CONTAINS", "Probability") not in {(relation, name) for relation, name, _ in tree}


@pytest.mark.parametrize("name", DECISIONS)
def test_no_report_says_that_a_film_is_normal(name: str) -> None:
    written = str(reported(done_record(**DECISIONS[name]))).lower()
    assert "111286" not in written
    assert not re.search(r"no abnormality|normal\b(?<!abnormal)|healthy|no finding", written)


@pytest.mark.parametrize("name", DECISIONS)
def test_report_is_complete_preliminary_and_unverified(name: str) -> None:
    report = reported(done_record(**DECISIONS[name]))
    assert (report.CompletionFlag, report.PreliminaryFlag, report.VerificationFlag) == (
        "COMPLETE",
        "PRELIMINARY",
        "UNVERIFIED",
    )
    assert report.SeriesDescription == "AI triage aid, not a diagnosis"


@pytest.mark.parametrize("name", DECISIONS)
def test_same_record_gives_the_same_bytes(name: str) -> None:
    record, source = done_record(**DECISIONS[name]), source_of(StudyTime="101112")
    assert report_file(record, source, ()) == report_file(record, source, ())


def test_report_lies_in_the_films_study_in_a_series_of_its_own() -> None:
    source, report = source_of(), reported(done_record())
    assert report.StudyInstanceUID == source.study_instance_uid
    assert report.SeriesInstanceUID == series_uid(ResultKind.REPORT, FILM_ID)
    assert report.SOPInstanceUID == result_uid(ResultKind.REPORT, FILM_ID, DIGEST, 1)
    assert report.file_meta.MediaStorageSOPInstanceUID == report.SOPInstanceUID
    (study,) = report.CurrentRequestedProcedureEvidenceSequence
    (series,) = study.ReferencedSeriesSequence
    (film,) = series.ReferencedSOPSequence
    assert (study.StudyInstanceUID, series.SeriesInstanceUID, film.ReferencedSOPInstanceUID) == (
        source.study_instance_uid,
        source.series_instance_uid,
        source.sop_instance_uid,
    )


def test_decision_of_a_later_day_is_another_object_of_the_same_series() -> None:
    first, second = (reported(done_record(), past=past) for past in ((), (past_decision(),)))
    assert first.SOPInstanceUID != second.SOPInstanceUID
    assert first.SeriesInstanceUID == second.SeriesInstanceUID
    assert (first.InstanceNumber, second.InstanceNumber) == (1, 2)


def test_report_names_the_reports_of_all_earlier_decisions_as_its_predecessors() -> None:
    past = [past_decision(), past_decision(**NOTHING)]
    earlier = [reported(done_record()), reported(done_record(**NOTHING), past=past[:1])]
    report = reported(done_record(), past=past)
    (study,) = report.PredecessorDocumentsSequence
    (series,) = study.ReferencedSeriesSequence
    assert (study.StudyInstanceUID, series.SeriesInstanceUID) == (report.StudyInstanceUID, report.SeriesInstanceUID)
    assert [(item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID) for item in series.ReferencedSOPSequence] == [
        (was.SOPClassUID, was.SOPInstanceUID) for was in earlier
    ]


def test_first_report_of_a_film_has_no_predecessor() -> None:
    assert "PredecessorDocumentsSequence" not in reported(done_record())


@pytest.mark.parametrize(
    ("character_set", "patient"),
    [
        ("ISO_IR 100", "Müller^Jürgen"),
        ("ISO_IR 192", "Wang^XiaoDong=王^小东"),
        (["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎=やまだ^たろう"),
        (None, "BONO"),
        (None, ""),
    ],
)
def test_patient_survives_in_every_character_set(character_set: Any, patient: str) -> None:
    report = reported(
        done_record(), SpecificCharacterSet=character_set, PatientName=patient, ReferringPhysicianName=patient
    )
    assert report.SpecificCharacterSet == "ISO_IR 192"
    assert (str(report.PatientName), str(report.ReferringPhysicianName)) == (patient, patient)
    assert (report.PatientID, report.PatientSex, report.PatientAge) == ("PHANTOM", "F", "045Y")


def test_moment_is_the_decisions_in_the_films_own_time_zone() -> None:
    report = reported(done_record(), TimezoneOffsetFromUTC="+0100")
    assert (report.ContentDate, report.ContentTime) == ("20260305", "003005.123000")
    assert (report.InstanceCreationDate, report.InstanceCreationTime) == ("20260305", "003005.123000")
    assert report.TimezoneOffsetFromUTC == "+0100"
    assert reported(done_record()).ContentDate == "20260304"


def test_highdicom_reads_the_report_as_a_measurement_report() -> None:
    report = srread(io.BytesIO(report_file(done_record(), source_of(), ())))
    assert isinstance(report, Comprehensive3DSR)
    (group,) = report.content.get_image_measurement_groups()
    assert group.finding_type == Code("263654008", "SCT", "Abnormal")
    (measurement,) = group.get_measurements()
    assert (measurement.name.value, measurement.value) == ("122157", 0.8731234567)
    (evaluation,) = group.get_qualitative_evaluations()
    assert (evaluation.name.value, evaluation.value.value) == ("TRIAGE_OUTCOME", "FLAGGED")


@pytest.mark.parametrize("sex", ["X", "f", "", None])
def test_sex_that_dicom_does_not_define_is_left_empty(sex: str | None) -> None:
    assert reported(done_record(), PatientSex=sex).get("PatientSex") in ("", None)


def test_film_without_an_outcome_has_no_report() -> None:
    open_film = done_record(**dict.fromkeys(DECISIONS["gated"]), state="queued", done_at=None)
    with pytest.raises(ValueError, match="without an outcome"):
        report_file(open_film, source_of(), ())
