"""A film's outcome as a structured report: TID 1500 in a Comprehensive 3D SR (PROTOCOLS §4), by highdicom.

What stands in it is what stands in the record, and no more. A Finding only where the film was flagged; probability,
threshold and policy only beside a score; a film that nobody assessed says so, with its reason. The report is
preliminary and unverified: no person has seen it.
"""

from __future__ import annotations

from collections.abc import Sequence

from highdicom.coding_schemes import CodingSchemeIdentificationItem
from highdicom.sr import (
    AlgorithmIdentification,
    Comprehensive3DSR,
    DeviceObserverIdentifyingAttributes,
    Measurement,
    MeasurementReport,
    MeasurementsAndQualitativeEvaluations,
    ObservationContext,
    ObserverContext,
    QualitativeEvaluation,
    SourceImageForMeasurementGroup,
    TrackingIdentifier,
)
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes

from model.decision import Outcome
from model.decoding.source_attributes import SourceAttributes
from services.dicom.authorship import Authorship, authorship_of, past_result, sign
from services.dicom.source import evidence_of
from services.dicom.uids import ResultKind, device_uid, tracking_uid
from services.dicom.vocabulary import (
    ABNORMAL,
    CHEST_FILM,
    MANUFACTURER,
    NO_UNITS,
    PROBABILITY,
    SCHEME,
    SCHEME_NAME,
    TRIAGE_OUTCOME,
    TRIAGE_REASON,
    outcome_code,
    reason_code,
)
from services.jobs.records import PastDecision, Record


def build_report(record: Record, source: SourceAttributes, past: Sequence[PastDecision]) -> Dataset:
    """Return the report of a film's present decision, in the film's study; the same bytes for the same arguments.

    Parameters
    ----------
    record
        A film that is done; ``ValueError`` otherwise.
    past
        Every earlier decision, oldest first: that of ``past[i]`` is the film's commit ``i + 1``. Their reports are
        named as predecessors, (0040,A360) Predecessor Documents Sequence (PS3.3 C.17.2), also to an archive that never
        got them: what a report says must not depend on who asks for it.
    """
    authorship = authorship_of(ResultKind.REPORT, record, source, commit=len(past) + 1)
    evidence = evidence_of(source)
    report = Comprehensive3DSR(
        evidence=[evidence],
        content=_content(record, source, authorship)[0],
        is_complete=True,
        is_final=False,
        is_verified=False,
        coding_schemes=[CodingSchemeIdentificationItem(designator=SCHEME, name=SCHEME_NAME)],
        # None and not empty: the sequence is of type 1C, and must have an item where it is there.
        previous_versions=_predecessors(record, source, past) or None,
        **authorship.arguments(),
    )
    sign(report, authorship, source)
    return report


def _predecessors(record: Record, source: SourceAttributes, past: Sequence[PastDecision]) -> list[Dataset]:
    return [
        past_result(ResultKind.REPORT, record, source, decision, commit=commit)
        for commit, decision in enumerate(past, 1)
    ]


def _content(record: Record, source: SourceAttributes, authorship: Authorship) -> MeasurementReport:
    return MeasurementReport(
        observation_context=ObservationContext(observer_device_context=device_observer(authorship)),
        procedure_reported=CHEST_FILM,
        imaging_measurements=[_assessment(record, source)],
    )


def device_observer(authorship: Authorship) -> ObserverContext:
    """Return who observed: this service, with the model that looked at the film (TID 1004)."""
    return ObserverContext(
        observer_type=codes.DCM.Device,
        observer_identifying_attributes=DeviceObserverIdentifyingAttributes(
            uid=device_uid(authorship.model_digest),
            name=MANUFACTURER,
            manufacturer_name=MANUFACTURER,
            model_name=authorship.model_name,
        ),
    )


def _assessment(record: Record, source: SourceAttributes) -> MeasurementsAndQualitativeEvaluations:
    """Return what was concluded from one film (TID 1501)."""
    return MeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(uid=tracking_uid(record.id), identifier=f"triage {record.id}"),
        finding_type=ABNORMAL if record.outcome is Outcome.FLAGGED else None,
        algorithm_id=_algorithm(record),
        measurements=_measurements(record) or None,
        qualitative_evaluations=_evaluations(record),
        source_images=[
            SourceImageForMeasurementGroup(
                referenced_sop_class_uid=source.sop_class_uid, referenced_sop_instance_uid=source.sop_instance_uid
            )
        ],
    )


def _algorithm(record: Record) -> AlgorithmIdentification | None:
    """Return the model that looked at the film, if one did, and what made an outcome of its probability (TID 4019)."""
    if record.model is None:
        return None
    parameters = [f"digest={record.model.digest}"]
    if record.policy is not None:
        policy = record.policy
        parameters += [
            f"policy={policy.name}, version {policy.version} of site {policy.site}",
            f"threshold={record.threshold}",
            "direction=flagged at or above the threshold",
        ]
    return AlgorithmIdentification(name=record.model.name, version=record.model.version, parameters=parameters)


def _measurements(record: Record) -> list[Measurement]:
    if record.probability is None:
        return []
    return [Measurement(name=PROBABILITY, value=record.probability, unit=NO_UNITS)]


def _evaluations(record: Record) -> list[QualitativeEvaluation]:
    assert record.outcome is not None, "authorship_of has refused films without one"
    evaluations = [QualitativeEvaluation(name=TRIAGE_OUTCOME, value=outcome_code(record.outcome))]
    if record.reason is not None:
        evaluations.append(QualitativeEvaluation(name=TRIAGE_REASON, value=reason_code(record.reason)))
    return evaluations
